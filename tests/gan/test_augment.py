"""Augmentations: what they do to known images, and properties of every entry."""

import pytest
import torch
from torch import Tensor

from d3gan.errors import UserError
from d3gan.gan.augment import AUGMENTATIONS, augment

IMAGES = torch.arange(2 * 3 * 8 * 8, dtype=torch.float64).view(2, 3, 8, 8) / 200 - 1


def applied(text: str, *draws: float) -> Tensor:
    uniform = torch.tensor([draws] * len(IMAGES), dtype=torch.float64)
    return AUGMENTATIONS.build(text)(IMAGES, uniform)


def test_color_is_brightness_saturation_and_contrast() -> None:
    torch.testing.assert_close(applied("color", 0.5, 0.5, 0.5), IMAGES)  # nothing changes
    torch.testing.assert_close(applied("color", 0.9, 0.5, 0.5), IMAGES + 0.4)
    grey = IMAGES.mean(dim=1, keepdim=True).expand_as(IMAGES)
    torch.testing.assert_close(applied("color", 0.5, 0.0, 0.5), grey)
    flat = IMAGES.mean(dim=(1, 2, 3), keepdim=True)
    torch.testing.assert_close(applied("color", 0.5, 0.5, 0.0), (IMAGES - flat) / 2 + flat)


def test_translation_moves_by_whole_pixels_and_fills_with_zeros() -> None:
    # Side 8, ratio 1 / 8: shifts of -1, 0, 1 with equal odds.
    torch.testing.assert_close(applied("translation", 0.5, 0.5), IMAGES)
    down = applied("translation", 0.9, 0.5)
    torch.testing.assert_close(down[:, :, 1:], IMAGES[:, :, :-1])
    assert not down[:, :, 0].any()
    left = applied("translation", 0.5, 0.1)
    torch.testing.assert_close(left[:, :, :, :-1], IMAGES[:, :, :, 1:])
    assert not left[:, :, :, -1].any()
    far = applied("translation(ratio=1.0)", 0.999, 0.5)  # by the whole side
    assert not far.any()


def test_cutout_is_a_clipped_square_of_zeros() -> None:
    ones = torch.ones(1, 1, 8, 8)
    cutout = AUGMENTATIONS.build("cutout")
    middle = cutout(ones, torch.tensor([[0.45, 0.45]]))  # centre 4 of 0..8, side 4
    assert middle[0, 0, 2:6, 2:6].sum() == 0
    assert middle.sum() == 64 - 16
    corner = cutout(ones, torch.tensor([[0.0, 0.999]]))
    assert corner[0, 0, :2, 6:].sum() == 0
    assert corner.sum() == 64 - 4


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation_is_differentiable_and_per_image(name: str) -> None:
    augmentation = AUGMENTATIONS.build(name)
    generator = torch.Generator().manual_seed(0)
    uniform = torch.rand(2, augmentation.draws, generator=generator, dtype=torch.float64)
    images = IMAGES.clone().requires_grad_()
    out = augmentation(images, uniform)
    assert out.shape == images.shape
    torch.testing.assert_close(augmentation(images[1:], uniform[1:]), out[1:])
    assert torch.autograd.gradcheck(lambda x: augmentation(x, uniform), [images[:1, :, :4, :4]])


def test_a_policy_applies_all_with_draws_of_their_own() -> None:
    policy = [AUGMENTATIONS.build(name) for name in ("color", "translation")]
    uniform = torch.tensor([[0.9, 0.5, 0.5, 0.9, 0.5]] * 2, dtype=torch.float64)
    expected = policy[1](IMAGES + 0.4, uniform[:, 3:])
    torch.testing.assert_close(augment(policy, IMAGES, uniform), expected)
    assert augment([], IMAGES, None) is IMAGES


def test_bad_parameters_are_refused() -> None:
    for text in ("translation(ratio=0)", "cutout(ratio=1.5)"):
        with pytest.raises(UserError, match=r"ratio = .*: must be above 0 and at most 1"):
            AUGMENTATIONS.build(text)
