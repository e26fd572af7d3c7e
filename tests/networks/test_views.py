"""Views: each against an independent computation, and any view with any network."""

import pytest
import torch
from tests.networks.test_ensemble import assert_stacked_is_sequential
from tests.small_networks import make_discriminators
from torch import Tensor, nn

from d3gan.errors import UserError
from d3gan.networks import ARCHITECTURES
from d3gan.networks.architecture import ImageShape
from d3gan.networks.viewed import Viewed
from d3gan.networks.views import VIEWS, Lower, Patches, Projection, View

FLOAT64 = torch.float64


class Brightness(nn.Module):
    """Images -> the sum of their squares; conditional: times the label."""

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        total = images.square().sum(dim=(1, 2, 3))
        return total if labels is None else total * labels


def viewed(view: View, *, channels: int = 3, seed: int = 0, member: int = 0) -> Viewed:
    shape = ImageShape(16, channels)
    return Viewed(Brightness(), view, shape, seed, member).double()


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("channels", [1, 3])
def test_images_have_the_shape_that_the_network_is_built_for(name: str, channels: int) -> None:
    view, shape = VIEWS.build(name), ImageShape(32, channels, classes=2)
    seen = view.shape(shape)
    fixed = torch.randn(view.draws(shape)) if view.draws(shape) else None
    images = view(torch.randn(2, channels, 32, 32), fixed)
    assert images.shape[1:] == (seen.channels, seen.resolution, seen.resolution)
    assert len(images) % 2 == 0
    assert seen.classes == 2


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("classes", [0, 3])
def test_any_network_sees_any_view(architecture: str, name: str, classes: int) -> None:
    shape = {"resolution": 64, "classes": classes, "norm": "none"}
    view = name if name != "lower" else "lower(resolution=32)"
    view = view if name != "patches" else "patches(size=32, stride=32)"
    ensemble = make_discriminators(architecture, 2, views=(view,), **shape)
    images = torch.randn(2, 3, 64, 64)
    labels = torch.tensor([2, 0]) if classes else None
    assert ensemble(images, images[:1].repeat(2, 1, 1, 1), labels=labels).shape == (2, 4)


def test_a_projection_is_a_matrix_whose_rows_have_unit_norm() -> None:
    view = Projection(size=4, stride=2)
    fixed = torch.randn(view.draws(ImageShape(8, 3)), dtype=FLOAT64)
    basis = torch.eye(3 * 8 * 8, dtype=FLOAT64).view(-1, 3, 8, 8)
    matrix = view(basis, fixed).flatten(1).T  # [16, 192]
    inner = matrix.view(4, 4, -1)[1:-1, 1:-1]  # away from the border, which is padded with zeros
    torch.testing.assert_close(inner.norm(dim=-1), torch.ones(2, 2, dtype=FLOAT64))
    images = torch.randn(2, 3, 8, 8, dtype=FLOAT64)
    expected = (images.flatten(1) @ matrix.T).view(2, 1, 4, 4)
    torch.testing.assert_close(view(images, fixed), expected)
    window = images[:, :, 1:5, 3:7]  # of the output at row 1, column 2
    by_hand = (window * (fixed / fixed.norm()).view(3, 4, 4)).sum(dim=(1, 2, 3))
    torch.testing.assert_close(view(images, fixed)[:, 0, 1, 2], by_hand)


def test_the_default_projection_is_that_of_the_authors() -> None:
    shape = ImageShape(64, 3)
    assert Projection().draws(shape) == 3 * 8 * 8
    assert Projection().shape(shape) == ImageShape(32, 1)


def test_projections_depend_on_seed_and_discriminator_and_are_neither_trained_nor_saved() -> None:
    first, again, other, reseeded = (
        viewed(Projection(), seed=seed, member=member)
        for seed, member in ((0, 0), (0, 0), (0, 1), (1, 0))
    )
    assert torch.equal(first.fixed, again.fixed)
    for different in (other, reseeded):
        assert (first.fixed - different.fixed).abs().min() > 0
    assert not list(first.parameters())
    assert not first.state_dict()
    three = make_discriminators("dcgan", 3, resolution=32, views=("projection",)).members
    assert torch.equal(three[1].fixed, other.fixed.float())


def test_a_lower_resolution_is_the_mean_over_squares() -> None:
    images = torch.randn(2, 3, 16, 16, dtype=FLOAT64)
    expected = images.view(2, 3, 4, 4, 4, 4).mean(dim=(3, 5))
    torch.testing.assert_close(Lower(4)(images, None), expected)


def test_patches_are_cut_out_image_by_image() -> None:
    images = torch.randn(2, 3, 16, 16)
    corners = [(y, x) for y in (0, 4, 8) for x in (0, 4, 8)]
    expected = [image[:, y : y + 8, x : x + 8] for image in images for y, x in corners]
    assert torch.equal(Patches(size=8, stride=4)(images, None), torch.stack(expected))


def test_the_logit_is_the_mean_over_patches_with_the_image_s_label() -> None:
    images, labels = torch.randn(3, 3, 16, 16, dtype=FLOAT64), torch.tensor([1, 2, 3])
    each = images.square().sum(dim=(1, 2, 3)) / 4
    discriminator = viewed(Patches(size=8, stride=8))
    torch.testing.assert_close(discriminator(images), each)
    torch.testing.assert_close(discriminator(images, labels), each * labels)


def test_gradients_are_with_respect_to_the_whole_image() -> None:
    """The gradient of |W x|^2 is 2 W^T W x, with the size of x."""
    discriminator = viewed(Projection(size=4, stride=4))
    images = torch.randn(2, 3, 16, 16, dtype=FLOAT64, requires_grad=True)
    (gradient,) = torch.autograd.grad(discriminator(images).sum(), images)
    basis = torch.eye(images[0].numel(), dtype=FLOAT64).view(-1, 3, 16, 16)
    matrix = discriminator.view(basis, discriminator.fixed).flatten(1).T
    expected = 2 * images.detach().flatten(1) @ matrix.T @ matrix
    torch.testing.assert_close(gradient.flatten(1), expected)


@pytest.mark.parametrize("views", [("patches(size=8)",), ("lower(resolution=8)",), ("full",)])
def test_views_without_random_numbers_are_stacked(views: tuple[str, ...]) -> None:
    ensemble = make_discriminators("dcgan(stages=2)", 2, norm="none", views=views).double()
    assert ensemble._alike(range(len(ensemble))) == [[0, 1]]
    assert_stacked_is_sequential(ensemble)


def test_different_projections_are_never_stacked() -> None:
    views = ("projection", "projection", "lower(resolution=8)", "lower(resolution=8)")
    ensemble = make_discriminators("dcgan(stages=2)", 4, views=views).double()
    assert ensemble._alike(range(len(ensemble))) == [[0], [1], [2, 3]]
    assert_stacked_is_sequential(ensemble)


@pytest.mark.parametrize(
    ("view", "message"),
    [
        ("projection(stride=3)", "size - stride even and at least 0"),
        ("projection(size=2, stride=4)", "size - stride even and at least 0"),
        ("projection(size=4, stride=0)", "the stride must be at least 1"),
        ("projection(size=7, stride=5)", "stride = 5: must divide the side of the image, which is"),
        ("lower(resolution=0)", "resolution = 0: must be at least 1"),
        ("lower(resolution=5)", "resolution = 5: must divide the side of the image, which is 32"),
        ("lower(resolution=64)", "resolution = 64: must divide the side of the image, which is"),
        ("patches(size=0)", "size = 0: must be at least 1"),
        ("patches(stride=0)", "stride = 0: must be at least 1"),
        ("patches(size=64)", "patches must cover the image, whose side is 32"),
        ("patches(stride=7)", "patches must cover the image, whose side is 32"),
    ],
)
def test_bad_options_are_named(view: str, message: str) -> None:
    with pytest.raises((UserError, ValueError), match=message):
        VIEWS.build(view).shape(ImageShape(32, 3))
