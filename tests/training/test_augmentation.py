"""Augmentation belongs to (seed, epoch, sample): properties of every preset and of every operation alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from kagglerun.config.augment import AugmentConfig
from kagglerun.training.augmentation import Augmentation
from kagglerun.training.augmentation.draw import AFFINE, BOX, COLOURS, FLIPS, HOLE, SHARE, TARGET_SHARE
from kagglerun.training.augmentation.uniforms import Column
from kagglerun.training.seed import deterministic_algorithms

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
N = 23
IDS = np.arange(100, 100 + 3 * N, 3, dtype=np.int64)
CONFIGS = {
    **{preset: AugmentConfig(preset=preset) for preset in ("none", "light", "flip", "medium", "strong")},
    "crop": AugmentConfig(preset="none", crop_scale=(0.1, 1)),
    "flips": AugmentConfig(preset="none", hflip=0.5, vflip=0.5),
    "colours": AugmentConfig(preset="none", brightness=0.5, contrast=0.5, saturation=0.5, hue=0.5),
    "cutout": AugmentConfig(preset="none", cutout=0.5, cutout_size=0.4),
    "mixup": AugmentConfig(preset="light", mixup=0.4),
    "cutmix": AugmentConfig(preset="light", cutmix=1.0),
    "all": AugmentConfig(preset="strong", vflip=0.5, scale=0.2, mixup=0.4, cutmix=1.0, mix_probability=0.7),
}
EVERY = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pixels(side: int, n: int = N) -> Tensor:
    """Smooth images with some noise, uint8 (n, side, side, 3)."""
    generator = np.random.default_rng(side)
    coarse = torch.from_numpy(generator.random((n, 3, 5, 5), dtype=np.float32))
    smooth = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)
    noisy = smooth * 235 + torch.from_numpy(generator.random((n, 3, side, side), dtype=np.float32)) * 20
    return noisy.to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def made(config: AugmentConfig, side: int, size: int, seed: int = 5) -> Augmentation:
    return Augmentation(config, seed, side, size, MEAN, STD)


def augmented(augmentation: Augmentation, images: Tensor, samples: NDArray[np.int64], epoch: int = 2) -> Tensor:
    draw = augmentation.draw(epoch, samples, IDS)
    return augmentation.apply(images[torch.from_numpy(draw.samples)], draw)


@EVERY
@pytest.mark.parametrize(("side", "size"), [(33, 33), (41, 29), (64, 21)])
def test_a_sample_is_the_same_to_the_bit_alone_in_any_batch_and_any_order(
    config: AugmentConfig, side: int, size: int
) -> None:
    images, augmentation = pixels(side), made(config, side, size)
    together = augmented(augmentation, images, np.arange(N))
    order = np.random.default_rng(1).permutation(N)
    assert torch.equal(augmented(augmentation, images, order), together[torch.from_numpy(order)])
    for batch in (np.array([7]), np.array([22, 3, 4]), order[:16]):
        assert torch.equal(augmented(augmentation, images, batch), together[torch.from_numpy(batch)])


@pytest.mark.parametrize("name", ["strong", "all", "none"])
def test_the_number_of_threads_changes_no_bit(name: str) -> None:
    images, augmentation = pixels(96), made(CONFIGS[name], 96, 96)
    alone = augmented(augmentation, images, np.arange(N))
    torch.set_num_threads(3)
    shared = augmented(augmentation, images, np.arange(N))
    assert torch.get_num_threads() == 3
    assert torch.equal(alone, shared)


@EVERY
def test_the_images_given_are_not_changed(config: AugmentConfig) -> None:
    images, augmentation = pixels(32), made(config, 32, 32)
    draw = augmentation.draw(0, np.arange(N), IDS)
    given = images[torch.from_numpy(draw.samples)]
    before = given.clone()
    augmentation.apply(given, draw)
    augmentation.plain(given, mirrored=True)
    assert torch.equal(given, before)


@EVERY
def test_epoch_seed_and_sample_each_change_what_is_drawn(config: AugmentConfig) -> None:
    augmentation = made(config, 32, 32)
    images = pixels(32)[:1].expand(N, -1, -1, -1).contiguous()
    first = augmented(augmentation, images, np.arange(N))
    again = augmented(augmentation, images, np.arange(N))
    other_epoch = augmented(augmentation, images, np.arange(N), epoch=3)
    other_seed = augmented(made(config, 32, 32, seed=6), images, np.arange(N))
    assert torch.equal(first, again)
    if config.preset == "none" and config.strengths() == AugmentConfig(preset="none").strengths():
        assert torch.equal(first, other_epoch)
        return
    assert not torch.equal(first, other_epoch)
    assert not torch.equal(first, other_seed)
    assert len(torch.unique(first.flatten(1), dim=0)) > 1


def test_nothing_on_normalises_alone_and_training_sees_what_validation_sees_to_the_bit() -> None:
    images, augmentation = pixels(33), made(CONFIGS["none"], 33, 33)
    unit = images.permute(0, 3, 1, 2).float() / 255
    expected = (unit - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    plain = augmentation.plain(images)
    assert torch.equal(augmented(augmentation, images, np.arange(N)), plain)
    torch.testing.assert_close(plain, expected, rtol=3e-7, atol=3e-7)
    assert torch.equal(augmentation.plain(images, mirrored=True), plain.flip(3))


@EVERY
@pytest.mark.parametrize(("side", "size"), [(32, 32), (48, 32)])
def test_batches_are_float32_in_channels_last_memory(config: AugmentConfig, side: int, size: int) -> None:
    images, augmentation = pixels(side), made(config, side, size)
    for batch in (augmented(augmentation, images, np.arange(9)), augmentation.plain(images[:9])):
        assert batch.shape == (9, 3, size, size)
        assert batch.dtype == torch.float32
        assert batch.is_contiguous(memory_format=torch.channels_last)


@EVERY
def test_colours_stay_between_black_and_white(config: AugmentConfig) -> None:
    images = pixels(32)
    images[0], images[1] = 0, 255
    augmentation = Augmentation(config, 5, 32, 32, (0.0,) * 3, (1.0,) * 3)
    batch = augmented(augmentation, images, np.arange(N))
    assert batch.isfinite().all()
    assert batch.min() >= -1e-6
    assert batch.max() <= 1 + 1e-6


def test_deterministic_algorithms_give_the_same_bits() -> None:
    images, augmentation = pixels(40), made(CONFIGS["all"], 40, 32)
    plain = augmented(augmentation, images, np.arange(N))
    with deterministic_algorithms(enabled=True):
        assert torch.equal(augmented(augmentation, images, np.arange(N)), plain)


def drawn(config: AugmentConfig, n: int = 4000, side: int = 64, size: int = 64) -> NDArray[np.float32]:
    """The table of many samples without partners."""
    ids = np.arange(n, dtype=np.int64)
    table: NDArray[np.float32] = made(config, side, size).draw(1, ids, ids).own.numpy()
    return table


def test_each_strength_moves_its_own_numbers_alone() -> None:
    base = drawn(AugmentConfig(preset="medium"))
    columns = {
        "hue": range(COLOURS.start + 3, COLOURS.start + 4),
        "saturation": range(COLOURS.start + 2, COLOURS.start + 3),
        "vflip": [*range(AFFINE.start + 3, AFFINE.stop), FLIPS.stop - 1],
        "cutout": range(HOLE.start, HOLE.stop),
    }
    for name, expected in columns.items():
        changed = drawn(AugmentConfig.model_validate({"preset": "medium", name: 0.4}))
        assert {int(column) for column in np.flatnonzero((changed != base).any(axis=0))} == set(expected), name


def test_columns_of_the_uniform_numbers_never_move() -> None:
    assert [(column.name, int(column)) for column in Column][:7] == [
        ("ANGLE", 0),
        ("SCALE", 1),
        ("TRANSLATE_X", 2),
        ("TRANSLATE_Y", 3),
        ("HFLIP", 4),
        ("BRIGHTNESS", 5),
        ("CONTRAST", 6),
    ]
    assert list(Column)[-1].name == "MIX_Y"
    assert Column.MIX_Y == 22


def test_strengths_are_the_largest_changes_and_probabilities_hold() -> None:
    strengths = {"brightness": 0.3, "contrast": 0.2, "saturation": 0.4, "hue": 0.1}
    table = drawn(AugmentConfig.model_validate({"preset": "none", "hflip": 0.3, "cutout": 0.7, **strengths}))
    for place, strength in enumerate(strengths.values()):
        changes = table[:, COLOURS.start + place] - (place < 3)
        assert abs(changes).max() <= strength
        assert abs(changes).max() > 0.99 * strength
        assert abs(changes.mean()) < 0.05 * strength
    assert table[:, FLIPS.start].mean() == pytest.approx(0.3, abs=0.03)
    assert (table[:, HOLE.start + 2] > 0).mean() == pytest.approx(0.7, abs=0.03)
    assert set(
        table[table[:, HOLE.start + 2] > 0][:, HOLE.start + 2] - table[table[:, HOLE.start + 2] > 0][:, HOLE.start]
    ) == {16}


@pytest.mark.parametrize("ratio", [(0.75, 4 / 3), (1.5, 2.0), (0.1, 10.0)])
def test_crops_lie_within_the_image_and_keep_the_share_that_was_drawn(ratio: tuple[float, float]) -> None:
    table = drawn(AugmentConfig(preset="none", crop_scale=(0.08, 1.0), crop_ratio=ratio))
    width, x, height, y = (table[:, AFFINE.start + place].astype(float) for place in (0, 2, 4, 5))
    assert (abs(x) + width <= 1 + 1e-6).all()
    assert (abs(y) + height <= 1 + 1e-6).all()
    area = width * height
    assert area.min() == pytest.approx(0.08, abs=0.01)
    assert area.max() == pytest.approx(1, abs=0.01)
    assert area.mean() == pytest.approx(0.54, abs=0.02)
    fits = (ratio[0] >= area) & (ratio[1] <= 1 / area)
    assert (width / height)[fits].min() >= ratio[0] - 1e-4
    assert (width / height)[fits].max() <= ratio[1] + 1e-4


def test_partners_are_other_training_samples_drawn_evenly() -> None:
    n = 4000
    ids = np.arange(n, dtype=np.int64)
    draw = made(AugmentConfig(preset="none", mixup=0.2), 8, 8).draw(1, ids, ids)
    counts = np.bincount(draw.partners, minlength=n)
    assert counts.max() < 10
    assert abs(draw.partners.mean() - n / 2) < n / 40
    assert np.array_equal(draw.samples, np.concatenate([ids, draw.partners]))


def test_only_the_partners_of_mixed_samples_are_asked_for() -> None:
    ids = np.arange(1000, dtype=np.int64)
    draw = made(AugmentConfig(preset="none", cutmix=1.0, mix_probability=0.25), 32, 32).draw(1, ids, ids)
    mixed = draw.own[:, BOX.start + 2].numpy() > 0
    assert 0.2 < mixed.mean() < 0.3
    assert 1200 < len(draw.samples) < 1300
    unmixed = np.setdiff1d(ids, ids[draw.partners != ids])
    assert (draw.own[torch.from_numpy(unmixed), TARGET_SHARE] == 1).all()


def test_with_both_on_each_takes_half_of_the_mixed_samples() -> None:
    table = drawn(AugmentConfig(preset="none", mixup=0.4, cutmix=1.0))
    blended, boxed = table[:, SHARE] < 1, table[:, BOX.start + 2] > 0
    assert not (blended & boxed).any()
    assert blended.mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("alpha", [0.05, 0.4, 1.0, 8.0])
def test_shares_of_mixup_follow_the_beta_distribution(alpha: float) -> None:
    shares = drawn(AugmentConfig(preset="none", mixup=alpha))[:, SHARE]
    assert np.isfinite(shares).all()
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.08)


def test_a_partner_looks_as_it_does_itself_in_this_epoch() -> None:
    """Mixing by cutmix only: inside the box stands the partner's own augmented image, to the bit."""
    images, samples = pixels(32), np.arange(N)
    mixing = made(AugmentConfig(preset="strong", cutmix=1.0), 32, 32)
    plain = augmented(made(AugmentConfig(preset="strong"), 32, 32), images, samples)
    mixed = augmented(mixing, images, samples)
    draw = mixing.draw(2, samples, IDS)
    for place in range(N):
        left, top, right, bottom = (int(edge) for edge in draw.own[place, BOX])
        box = (slice(None), slice(top, bottom), slice(left, right))
        expected = plain[place].clone()
        expected[box] = plain[draw.partners[place]][box]
        assert torch.equal(mixed[place], expected)
        assert draw.own[place, TARGET_SHARE] == np.float32(1 - (right - left) * (bottom - top) / 32**2)


def test_classes_become_shares_that_add_up_to_one_and_values_are_blended() -> None:
    samples, augmentation = np.arange(N), made(CONFIGS["all"], 32, 32)
    draw = augmentation.draw(2, samples, IDS)
    classes = torch.arange(N) % 4
    soft = augmentation.mix_targets(classes, classes[torch.from_numpy(draw.partners)], draw, 4)
    assert soft.shape == (N, 4)
    assert soft.dtype == torch.float32
    assert torch.allclose(soft.sum(dim=1), torch.ones(N))
    values = torch.stack([classes.float(), -classes.float()], dim=1)
    given = values[torch.from_numpy(draw.partners)]
    before = given.clone()
    mixed = augmentation.mix_targets(values, given, draw, None)
    assert torch.equal(given, before)
    assert torch.allclose(mixed[:, 0], (soft * torch.arange(4.0)).sum(dim=1), atol=1e-6)
    unmixed = torch.from_numpy(draw.partners == samples)
    assert unmixed.any()
    assert torch.equal(mixed[unmixed], values[unmixed])


def test_without_mixing_targets_stay_as_they_are() -> None:
    augmentation = made(CONFIGS["strong"], 32, 32)
    draw = augmentation.draw(0, np.arange(N), IDS)
    targets = torch.arange(N)
    assert augmentation.mix_targets(targets, targets, draw, 5) is targets


def test_a_batch_of_one_and_a_batch_of_none_are_batches() -> None:
    augmentation = made(CONFIGS["all"], 32, 32)
    for n in (1, 0):
        assert augmented(augmentation, pixels(32), np.arange(n)).shape == (n, 3, 32, 32)
    assert augmentation.plain(pixels(32)[:0]).shape == (0, 3, 32, 32)


@EVERY
@pytest.mark.parametrize(("side", "size"), [(33, 33), (41, 29), (29, 41), (64, 21), (97, 16)])
def test_the_compiled_pass_of_a_cpu_is_what_the_operations_of_a_gpu_give(
    config: AugmentConfig, side: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where an image is halved before it is sampled, the compiled pass rounds its pixels to a quarter of a level of a
    byte; stronger contrast or saturation may double what that leaves."""
    images, augmentation = pixels(side), made(config, side, size)
    draw = augmentation.draw(2, np.arange(N), IDS)
    given = images[torch.from_numpy(draw.samples)]
    ours = augmentation.apply(given, draw), augmentation.plain(given), augmentation.plain(given, mirrored=True)
    monkeypatch.setattr("kagglerun.training.augmentation.fused.can_fuse", lambda *_: False)
    theirs = augmentation.apply(given, draw), augmentation.plain(given), augmentation.plain(given, mirrored=True)
    halved = bool(draw.halved.any()) and config.strengths().bends
    tolerance = 0.5 / 255 / min(STD) if halved else 1e-4
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance)


def test_maps_that_are_not_finite_stay_within_the_image() -> None:
    augmentation = made(CONFIGS["all"], 32, 32)
    draw = augmentation.draw(0, np.arange(N), IDS)
    draw.table[0, AFFINE], draw.table[1, AFFINE] = float("nan"), float("inf")
    apart = augmentation.apply(pixels(32)[torch.from_numpy(np.zeros(len(draw.samples), np.int64))], draw)
    assert apart[2:].isfinite().all()
