"""Image augmentation in batches, on the device; each random number belongs to (seed, epoch, sample).

The order of the operations, for each sample:

1. random resized crop, mirroring, rotation, scale and translation, composed into one sampling of the decoded image
   (geometry.py; in the order of torchvision's RandomResizedCrop, flips, RandomAffine);
2. brightness, contrast, saturation, hue, in this order (colour.py);
3. normalisation with the colours that the model expects;
4. cutout: a square becomes the mean colour, which is zero after the normalisation;
5. mixup or cutmix with another training sample, augmented as it would be itself in this epoch (mixing.py).
"""

from __future__ import annotations

from kagglerun.training.augmentation.apply import Augmentation
from kagglerun.training.augmentation.draw import Draw

__all__ = ["Augmentation", "Draw"]
