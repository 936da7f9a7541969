"""Each operation against torchvision's own function, on the same parameters.

Differences left over are those of float32 arithmetic in another order, a few times 1e-6 of the range of colours, unless
a test says why there are others.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from kagglerun.config.augment import AugmentConfig, AugmentStrengths
from kagglerun.training.augmentation import Augmentation
from kagglerun.training.augmentation.colour import recolour
from kagglerun.training.augmentation.cutout import inside
from kagglerun.training.augmentation.draw import AFFINE, BOX, COLOURS, FLIPS, HOLE, SHARE, TARGET_SHARE, Draw
from kagglerun.training.augmentation.geometry import affine_rows, halvings, mirror, resample
from kagglerun.training.augmentation.uniforms import Column

N = 12
IDS = np.arange(N, dtype=np.int64)


def photos(side: int, n: int = N) -> Tensor:
    """Images with edges, flat parts, fine noise and every hue, float32 in [0, 1], (n, 3, side, side)."""
    generator = np.random.default_rng(side)
    coarse = torch.from_numpy(generator.random((n, 3, 6, 6), dtype=np.float32))
    images = F.interpolate(coarse, size=(side, side), mode="bicubic").mul(1.4).sub(0.2).clamp(0, 1)
    images[:, :, side // 3 : side // 2, side // 4 : side // 2] = coarse[:, :, :1, :1]
    images[: n // 3] += 0.1 * torch.from_numpy(generator.standard_normal((n // 3, 3, side, side)).astype(np.float32))
    return (images.clamp(0, 1) * 255).round() / 255


def uniforms(**columns: float) -> np.ndarray:
    """The uniform numbers of one sample; those not named are in the middle, where nothing changes."""
    row = np.full((1, len(Column)), 0.5)
    for name, value in columns.items():
        row[0, Column[name]] = value
    return row


def moved(images: Tensor, strengths: AugmentStrengths, size: int | None = None, **columns: float) -> Tensor:
    """All images by the same affine map, made from the uniform numbers given."""
    rows = affine_rows(strengths, uniforms(**columns))
    size = size or images.shape[-1]
    halved = halvings(rows, images.shape[-1] / size)
    table = torch.from_numpy(rows.astype(np.float32)).expand(len(images), -1)
    times = torch.full((len(images),), float(halved[0]))
    return resample(images, table, times, (int(halved[0]),), size)


def bordered(images: Tensor, margin: int) -> Tensor:
    """The border repeated around: torchvision fills with a colour where we repeat the border."""
    return F.pad(images, (margin,) * 4, mode="replicate")


def torchvision_affine(images: Tensor, angle: float, translate: tuple[float, float], scale: float) -> Tensor:
    side = images.shape[-1]
    wide = tv.affine(
        bordered(images, side),
        angle=angle,
        translate=list(translate),
        scale=scale,
        shear=[0.0, 0.0],
        interpolation=v2.InterpolationMode.BILINEAR,
    )
    return wide[..., side : 2 * side, side : 2 * side]


@pytest.mark.parametrize("side", [33, 96])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.93])
def test_rotation(side: int, share: float) -> None:
    ours = moved(photos(side), AugmentStrengths(degrees=180), ANGLE=share)
    theirs = torchvision_affine(photos(side), (2 * share - 1) * 180, (0, 0), 1)
    assert (ours - theirs).abs().max() < 2e-5


def test_positive_angles_turn_clockwise_as_in_random_affine() -> None:
    image = torch.zeros(1, 3, 65, 65)
    image[..., 5, 32] = 1  # at the top
    turned = moved(image, AugmentStrengths(degrees=90), ANGLE=1 - 1e-12)
    assert turned[0, 0].argmax() == 32 * 65 + 59  # at the right
    assert torch.allclose(turned, tv.rotate(image, -90), atol=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.9])
def test_scale(share: float) -> None:
    ours = moved(photos(96), AugmentStrengths(scale=0.4), SCALE=share)
    assert (ours - torchvision_affine(photos(96), 0, (0, 0), 1 + (2 * share - 1) * 0.4)).abs().max() < 2e-5


@pytest.mark.parametrize(("x", "y"), [(0.9, 0.4), (0.13, 0.77), (0.5, 1.0)])
def test_translation(x: float, y: float) -> None:
    ours = moved(photos(96), AugmentStrengths(translate=0.3), TRANSLATE_X=x, TRANSLATE_Y=y)
    pixels = tuple((2 * share - 1) * 0.3 * 96 for share in (x, y))
    assert (ours - torchvision_affine(photos(96), 0, (pixels[0], pixels[1]), 1)).abs().max() < 2e-5


def test_a_translation_by_whole_pixels_moves_right_and_down() -> None:
    image = photos(32)
    ours = moved(image, AugmentStrengths(translate=0.5), TRANSLATE_X=0.75, TRANSLATE_Y=0.625)
    assert (ours[..., 4:, 8:] - image[..., :-4, :-8]).abs().max() < 1e-5


def test_rotation_scale_and_translation_together_in_the_order_of_random_affine() -> None:
    strengths = AugmentStrengths(degrees=60, scale=0.3, translate=0.2)
    ours = moved(photos(96), strengths, ANGLE=0.8, SCALE=0.3, TRANSLATE_X=0.9, TRANSLATE_Y=0.2)
    theirs = torchvision_affine(photos(96), 36, (0.8 * 0.2 * 96, -0.6 * 0.2 * 96), 1 - 0.4 * 0.3)
    assert (ours - theirs).abs().max() < 3e-5


@pytest.mark.parametrize(("x", "y"), [(True, False), (False, True), (True, True)])
def test_flips_by_mirroring_are_equal_to_the_bit_and_by_sampling_nearly(x: bool, y: bool) -> None:
    images = photos(33)
    theirs = tv.horizontal_flip(images) if x else images
    theirs = tv.vertical_flip(theirs) if y else theirs
    assert torch.equal(mirror(images, torch.tensor([[float(x), float(y)]]).expand(N, -1)), theirs)
    ours = moved(images, AugmentStrengths(hflip=0.5, vflip=0.5), HFLIP=0.9 - 0.8 * x, VFLIP=0.9 - 0.8 * y)
    assert (ours - theirs).abs().max() < 1e-5


def crop_columns(left: int, top: int, width: int, height: int, side: int) -> tuple[AugmentStrengths, dict[str, float]]:
    """Strengths and uniform numbers that make exactly this crop."""
    area = width * height / side**2
    strengths = AugmentStrengths(crop_scale=(area, area), crop_ratio=(width / height, width / height))
    x = left / (side - width) if width < side else 0.5
    y = top / (side - height) if height < side else 0.5
    return strengths, {"CROP_X": x, "CROP_Y": y}


@pytest.mark.parametrize(
    ("box", "size"), [((10, 20, 60, 48), 96), ((0, 0, 48, 48), 96), ((30, 7, 64, 80), 80), ((1, 2, 90, 90), 96)]
)
def test_random_resized_crop_that_enlarges(box: tuple[int, int, int, int], size: int) -> None:
    """Within the crop's outermost half pixel torchvision repeats the crop's border, and we see the image beyond."""
    left, top, width, height = box
    images = photos(96)
    strengths, columns = crop_columns(*box, side=96)
    ours = moved(images, strengths, size, **columns)
    theirs = tv.resized_crop(images, top, left, height, width, [size, size], antialias=True)
    edge_x, edge_y = (int(np.ceil(size / length / 2)) + 1 for length in (width, height))
    inner = (..., slice(edge_y, -edge_y), slice(edge_x, -edge_x))
    assert (ours[inner] - theirs[inner]).abs().max() < 3e-5


def shrunk(images: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Ours, torchvision's antialiased one, and plain bilinear sampling."""
    plain = F.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)
    ours = moved(images, AugmentStrengths(degrees=1), size)
    return ours, tv.resize(images, [size, size], antialias=True), plain


@pytest.mark.parametrize("side", [97, 128, 192])
def test_shrinking_by_up_to_two_is_plain_bilinear_sampling(side: int) -> None:
    ours, _, plain = shrunk(photos(side), 96)
    assert (ours - plain).abs().max() < 2e-5


@pytest.mark.parametrize(("side", "size"), [(256, 96), (224, 64), (512, 64), (375, 128), (1030, 33)])
def test_shrinking_by_more_is_antialiased(side: int, size: int) -> None:
    """The filters differ: torchvision's is a triangle as wide as the shrinking, ours takes means of blocks and samples
    them. On noise, the hardest case, plain sampling is more than twice as far away."""
    noise = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(side))
    ours, theirs, plain = shrunk(noise, size)
    assert (ours - theirs).std() < 0.45 * (plain - theirs).std()
    smooth = F.interpolate(noise[..., :8, :8], size=(side, side), mode="bicubic").clamp(0, 1)
    ours, theirs, _ = shrunk(smooth, size)
    assert (ours - theirs).abs().mean() < 0.004


def test_all_geometry_in_one_sampling_is_what_torchvision_does_one_after_another() -> None:
    """On colour ramps, which bilinear sampling keeps exactly, so that resampling once or four times is the same."""
    side = 96
    line = torch.linspace(0.25, 0.75, side)
    ramps = torch.stack(
        [line.expand(side, side), line.expand(side, side).T, (line.expand(side, side) + line[:, None]) / 2]
    )
    images = ramps.unsqueeze(0)
    left, top, width, height = 12, 8, 72, 60
    strengths, columns = crop_columns(left, top, width, height, side)
    strengths = AugmentStrengths(
        crop_scale=strengths.crop_scale,
        crop_ratio=strengths.crop_ratio,
        hflip=1,
        vflip=1,
        degrees=40,
        scale=0.2,
        translate=0.1,
    )
    ours = moved(images, strengths, **columns, ANGLE=0.75, SCALE=0.9, TRANSLATE_X=0.8, TRANSLATE_Y=0.35)
    theirs = tv.resized_crop(images, top, left, height, width, [side, side], antialias=True)
    theirs = tv.vertical_flip(tv.horizontal_flip(theirs))
    theirs = tv.affine(
        theirs, 20.0, [0.6 * 0.1 * side, -0.3 * 0.1 * side], 1.16, [0.0, 0.0], v2.InterpolationMode.BILINEAR
    )
    inner = (..., slice(30, 66), slice(30, 66))
    assert (ours[inner] - theirs[inner]).abs().max() < 2e-5


def changed(images: Tensor, name: str, change: float) -> Tensor:
    neutral = [1.0, 1.0, 1.0, 0.0]
    neutral[("brightness", "contrast", "saturation", "hue").index(name)] = change
    table = torch.tensor([neutral]).expand(len(images), -1)
    return recolour(images.clone(), table, AugmentStrengths(**{name: 0.5}))


@pytest.mark.parametrize("side", [33, 96])
@pytest.mark.parametrize("factor", [0.0, 0.4, 0.8, 1.0, 1.3, 2.0])
@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_brightness_contrast_and_saturation(name: str, factor: float, side: int) -> None:
    images = photos(side)
    theirs = getattr(tv, f"adjust_{name}")(images, factor)
    assert (changed(images, name, factor) - theirs).abs().max() < 1e-6


@pytest.mark.parametrize("turn", [-0.5, -0.21, -0.05, 0.0, 0.02, 0.1, 0.33, 0.5])
def test_hue(turn: float) -> None:
    images = photos(96)
    images[0, 0] = images[0, 1]  # two largest at once
    images[1] = images[1, :1]  # grey
    images[2], images[3] = 0.0, 1.0
    assert (changed(images, "hue", turn) - tv.adjust_hue(images, turn)).abs().max() < 3e-6


def test_every_colour_of_a_coarse_cube_has_torchvisions_hue() -> None:
    levels = torch.linspace(0, 1, 18)
    cube = torch.cartesian_prod(levels, levels, levels).T.reshape(1, 3, 72, 81)
    for turn in (-0.4, 0.07, 0.25):
        assert (changed(cube, "hue", turn) - tv.adjust_hue(cube, turn)).abs().max() < 3e-6


def test_all_colours_in_their_order() -> None:
    images = photos(96)
    table = torch.tensor([[1.2, 0.7, 1.4, 0.08]]).expand(N, -1)
    strengths = AugmentStrengths(brightness=0.5, contrast=0.5, saturation=0.5, hue=0.5)
    theirs = tv.adjust_contrast(tv.adjust_brightness(images, 1.2), 0.7)
    theirs = tv.adjust_hue(tv.adjust_saturation(theirs, 1.4), 0.08)
    assert (recolour(images.clone(), table, strengths) - theirs).abs().max() < 5e-6


def drawn(config: AugmentConfig) -> tuple[Augmentation, Draw, Tensor]:
    augmentation = Augmentation(config, 1, 40, 40, (0.0,) * 3, (1.0,) * 3)
    draw = augmentation.draw(0, IDS, IDS)
    return augmentation, draw, photos(40)[torch.from_numpy(draw.samples)]


def test_cutout_is_erase() -> None:
    _, draw, images = drawn(AugmentConfig(preset="none", cutout=1.0, cutout_size=0.3))
    holes = draw.own[:, HOLE]
    ours = images * (1 - inside(holes, 40))
    for place in range(N):
        left, top, right, bottom = (int(edge) for edge in holes[place])
        assert right - left == bottom - top == 12
        theirs = tv.erase(images[place], top, left, bottom - top, right - left, torch.zeros(3, 1, 1))
        assert torch.equal(ours[place], theirs)


def test_mixup_is_torchvisions_on_the_same_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torchvision's partner is the sample before in the batch, so pairs are compared one by one."""
    augmentation, draw, images = drawn(AugmentConfig(preset="none", mixup=0.8))
    ours = augmentation.mix(images, draw)
    labels = torch.arange(N) % 5
    ours_labels = augmentation.mix_targets(labels, labels[torch.from_numpy(draw.partners)], draw, 5)
    for place, partner in enumerate(draw.partners):
        share = float(draw.own[place, SHARE])
        theirs = v2.MixUp(num_classes=5)
        monkeypatch.setattr(theirs._dist, "sample", lambda shape, share=share: torch.tensor(share))
        pair = torch.tensor([place, partner])
        mixed, mixed_labels = theirs(images[:N][pair], labels[pair])
        assert (ours[place] - mixed[0]).abs().max() < 1e-6
        assert (ours_labels[place] - mixed_labels[0]).abs().max() < 1e-6


def test_cutmix_is_torchvisions_on_the_same_box(monkeypatch: pytest.MonkeyPatch) -> None:
    augmentation, draw, images = drawn(AugmentConfig(preset="none", cutmix=1.0))
    ours = augmentation.mix(images, draw)
    for place, partner in enumerate(draw.partners):
        left, top, right, bottom = (int(edge) for edge in draw.own[place, BOX])
        theirs = v2.CutMix(num_classes=N)
        share = 1 - (right - left) * (bottom - top) / 40**2
        params = {"box": (left, top, right, bottom), "lam_adjusted": share, "batch_size": 2, "labels": None}
        mixed = theirs.transform(images[:N][[place, partner]], params)
        assert torch.equal(ours[place], mixed[0])
        assert float(draw.own[place, TARGET_SHARE]) == pytest.approx(share, abs=1e-6)


def test_the_box_of_cutmix_follows_torchvisions_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torchvision draws centre and share; given ours, it makes our box."""
    from kagglerun.training.augmentation.mixing import _boxes

    generator = np.random.default_rng(5)
    shares, centres = generator.random(50), generator.random((50, 2))
    columns = np.zeros((50, len(Column)))
    columns[:, [Column.MIX_X, Column.MIX_Y]] = centres
    ours = _boxes(shares, columns, 40)
    for share, centre, box in zip(shares, centres, ours, strict=True):
        theirs = v2.CutMix(num_classes=2)
        draws = iter([torch.tensor([int(centre[0] * 40)]), torch.tensor([int(centre[1] * 40)])])
        monkeypatch.setattr(theirs._dist, "sample", lambda shape, share=share: torch.tensor(share))
        monkeypatch.setattr(torch, "randint", lambda *_, draws=draws, **__: next(draws))
        assert theirs.make_params([torch.zeros(2, 3, 40, 40)])["box"] == tuple(int(edge) for edge in box)


def test_a_whole_augmentation_is_torchvisions_functions_on_the_drawn_parameters() -> None:
    """From decoded bytes to the model's input, each sample by its own row of the table."""
    config = AugmentConfig(
        preset="none",
        hflip=0.5,
        vflip=0.5,
        degrees=25,
        scale=0.2,
        translate=0.1,
        brightness=0.3,
        contrast=0.3,
        saturation=0.3,
        hue=0.1,
    )
    augmentation = Augmentation(config, 9, 64, 64, (0.5,) * 3, (0.25,) * 3)
    images = (photos(64) * 255).round().to(torch.uint8)
    draw = augmentation.draw(3, IDS, IDS)
    ours = augmentation.apply(images.permute(0, 2, 3, 1).contiguous(), draw)
    for place in range(N):
        row = draw.own[place].double()
        image = images[place : place + 1].float() / 255
        flip_x, flip_y = (bool(flag) for flag in row[FLIPS])
        xx, xy, x, yx, yy, y = row[AFFINE].tolist()
        # With F the mirroring and A the affine map of output to input: rows = F A.
        mx, my = (-1.0 if flag else 1.0 for flag in (flip_x, flip_y))
        zoom = 1 / np.hypot(xx, xy)
        angle = np.degrees(np.arctan2(xy * mx, xx * mx))
        offset = np.array([x * mx, y * my])
        inverse = np.array([[xx * mx, xy * mx], [yx * my, yy * my]])
        move = -np.linalg.solve(inverse, offset) * 32
        theirs = tv.horizontal_flip(image) if flip_x else image
        theirs = tv.vertical_flip(theirs) if flip_y else theirs
        theirs = torchvision_affine(theirs, angle, (move[0], move[1]), zoom)
        brightness, contrast, saturation, hue = row[COLOURS].tolist()
        theirs = tv.adjust_contrast(tv.adjust_brightness(theirs, brightness), contrast)
        theirs = tv.adjust_hue(tv.adjust_saturation(theirs, saturation), hue)
        theirs = tv.normalize(theirs, [0.5] * 3, [0.25] * 3)
        assert (ours[place] - theirs[0]).abs().max() < 2e-4
