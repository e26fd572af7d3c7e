"""Augmentations: what they do to known images, and properties of every entry."""

import math

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


def random(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


def colored(image: Tensor, draws: list[float]) -> Tensor:
    """Change the colours of one image [C, H, W] pixel by pixel."""
    brightness, saturation, contrast = draws[0] - 0.5, 2 * draws[1], draws[2] + 0.5
    out = image.clone()
    channels, height, width = image.shape
    for y in range(height):
        for x in range(width):
            pixel = [float(image[c, y, x]) + brightness for c in range(channels)]
            grey = sum(pixel) / channels
            for c in range(channels):
                out[c, y, x] = grey + saturation * (pixel[c] - grey)
    mean = float(out.sum()) / out.numel()
    return mean + contrast * (out - mean)


def translated(image: Tensor, draws: list[float]) -> Tensor:
    """Move one image [C, H, W] pixel by pixel; what leaves it is lost."""
    _, height, width = image.shape
    most = [round(side / 8) for side in (height, width)]
    down, right = (math.floor(u * (2 * m + 1)) - m for u, m in zip(draws, most, strict=True))
    out = torch.zeros_like(image)
    for y in range(height):
        for x in range(width):
            if 0 <= y + down < height and 0 <= x + right < width:
                out[:, y + down, x + right] = image[:, y, x]
    return out


def cut(image: Tensor, draws: list[float]) -> Tensor:
    """Set the pixels of a square in one image [C, H, W] to zero one by one."""
    _, height, width = image.shape
    sides = [round(side / 2) for side in (height, width)]
    centre = [
        math.floor(u * (side + 1 - size % 2))
        for u, side, size in zip(draws, (height, width), sides, strict=True)
    ]
    out = image.clone()
    for dy in range(sides[0]):
        for dx in range(sides[1]):
            y, x = centre[0] - sides[0] // 2 + dy, centre[1] - sides[1] // 2 + dx
            if 0 <= y < height and 0 <= x < width:
                out[:, y, x] = 0
    return out


LOOPS = {"color": (colored, 3), "translation": (translated, 2), "cutout": (cut, 2)}
POLICIES = (["translation", "cutout"], ["color", "cutout"], ["color", "translation", "cutout"])


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("probability", [None, 0.0, 0.3, 1.0])
@pytest.mark.parametrize("side", [16, 18])
def test_diffaugment_equals_a_loop_over_images(
    policy: list[str], probability: float | None, side: int
) -> None:
    """Zhao et al. 2020, with each augmentation of each image skipped or not."""
    images = 2 * random(24, 3, side, side) - 1
    uniform = random(24, sum(LOOPS[name][1] for name in policy))
    chosen = None if probability is None else random(24, len(policy)) < probability
    expected = []
    for number, one in enumerate(images):
        draws, image = uniform[number].tolist(), one
        for place, name in enumerate(policy):
            change, count = LOOPS[name]
            own, draws = draws[:count], draws[count:]
            if chosen is None or chosen[number, place]:
                image = change(image, own)
        expected.append(image)
    found = augment([AUGMENTATIONS.build(name) for name in policy], images, uniform, chosen)
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-13, atol=1e-13)


def test_skipped_augmentations_are_differentiable() -> None:
    policy = [AUGMENTATIONS.build(name) for name in ("color", "cutout")]
    uniform, chosen = random(4, 5), torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]).bool()
    images = random(4, 1, 4, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: augment(policy, x, uniform, chosen), [images])
    out = augment(policy, images, uniform, chosen)
    assert torch.equal(out[0], images[0]), "an image that all augmentations miss stays as it is"
    (gradient,) = torch.autograd.grad(out[0].sum(), images)
    assert torch.equal(gradient[0], torch.ones_like(images[0]))


def test_bad_parameters_are_refused() -> None:
    for text in ("translation(ratio=0)", "cutout(ratio=1.5)"):
        with pytest.raises(UserError, match=r"ratio = .*: must be above 0 and at most 1"):
            AUGMENTATIONS.build(text)
