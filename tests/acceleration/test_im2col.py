"""Convolutions as matrix products are the library's own convolutions."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.small_networks import make_discriminators
from torch import Tensor, nn
from torch.nn.functional import fold, unfold
from torch.utils.flop_counter import FlopCounterMode

from d3gan.acceleration.im2col import LOWERED, added_up, patches, use_im2col
from d3gan.networks.ensemble import Ensemble

LAYERS = {
    "convolution": lambda c, o, bias: nn.Conv2d(c, o, 4, 2, 1, bias=bias),
    "transposed": lambda c, o, bias: nn.ConvTranspose2d(c, o, 4, 2, 1, bias=bias),
}


def random(*shape: int, requires_grad: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    x = torch.randn(shape, dtype=torch.float64, generator=generator)
    return x.requires_grad_(requires_grad)


def results(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """Output, gradients, and the gradient of a squared gradient, as R1 takes it."""
    x = x.detach().requires_grad_()
    y = layer(x)
    (slope,) = torch.autograd.grad((y * y.detach().cos()).sum(), x, create_graph=True)
    slope.square().sum().backward()
    first = [p.grad.clone() for p in layer.parameters() if p.grad is not None]
    layer.zero_grad()
    layer(x).square().sum().backward()
    return [y.detach(), slope.detach(), *first, *(p.grad for p in layer.parameters())]


@pytest.mark.parametrize("kind", LAYERS)
@given(
    batch=st.integers(1, 3),
    channels=st.integers(1, 6),
    out=st.integers(1, 6),
    height=st.integers(1, 6).map(lambda n: 2 * n),
    width=st.integers(1, 6).map(lambda n: 2 * n),
    bias=st.booleans(),
)
def test_a_lowered_layer_computes_the_same(
    kind: str, batch: int, channels: int, out: int, height: int, width: int, bias: bool
) -> None:
    layer = LAYERS[kind](channels, out, bias).double()
    lowered = copy.deepcopy(layer).to(memory_format=torch.channels_last)
    use_im2col(lowered)
    assert type(lowered) is LOWERED[type(layer)]
    x = random(batch, channels, height, width)
    for mine, theirs in zip(results(lowered, x), results(layer, x), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("height", "width"), [(2, 2), (4, 8), (6, 2)])
def test_patches_and_their_transpose_are_those_of_torch(height: int, width: int) -> None:
    x = random(2, 3, height, width)
    theirs = unfold(x, 4, padding=1, stride=2)  # [B, C * 16, positions]: channel first
    rows = patches(x)
    regrouped = rows.view(2, -1, 16, 3).permute(0, 3, 2, 1).reshape(theirs.shape)
    assert torch.equal(regrouped, theirs)
    assert torch.allclose(
        added_up(rows, 2, height, width),
        fold(theirs, (height, width), 4, padding=1, stride=2),
    )


def test_only_what_is_meant_is_lowered() -> None:
    others = [
        nn.Conv2d(3, 4, 3, 2, 1),
        nn.Conv2d(4, 4, 4, 2, 1, groups=2),
        nn.Conv2d(3, 4, 4, 2, 1, padding_mode="reflect"),
        nn.ConvTranspose2d(3, 4, 2),
        nn.Linear(2, 2),
    ]
    network = nn.Sequential(*others, nn.Conv2d(3, 4, 4, 2, 1))
    names = list(network.state_dict())
    use_im2col(network)
    lowered = [type(layer) in LOWERED.values() for layer in network]
    assert lowered == [False] * len(others) + [True]
    assert list(network.state_dict()) == names


def test_an_image_of_odd_size_is_left_to_the_library() -> None:
    layer = nn.Conv2d(3, 4, 4, 2, 1)
    x = torch.randn(1, 3, 7, 6)
    expected = layer(x)
    use_im2col(layer)
    assert torch.equal(layer(x), expected)


class Counting(nn.Module):
    """x -> factor * sum(x), and how often its backward pass ran."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))
        self.passes = 0

    def forward(self, images: Tensor) -> Tensor:
        images = images * 1
        if images.requires_grad:
            images.register_hook(self.count)
        return self.factor * images.sum(dim=(1, 2, 3))

    def count(self, gradient: Tensor | None) -> None:
        self.passes += gradient is not None


def test_the_generator_is_not_led_through_discriminators_it_does_not_face() -> None:
    members = [Counting(2.0), Counting(3.0)]
    ensemble = Ensemble(members).requires_grad_(False)
    images = torch.ones(4, 1, 2, 2, requires_grad=True)
    (torch.tensor([[0.0], [1.0]]) * ensemble(images)).sum().backward()
    assert [member.passes for member in members] == [0, 1]
    assert torch.equal(images.grad, torch.full_like(images, 3.0))


def test_nor_is_the_penalty_of_one_discriminator_through_the_others() -> None:
    members = [Counting(2.0), Counting(3.0)]
    images = torch.ones(4, 1, 2, 2, requires_grad=True)
    logits = Ensemble(members)(images)
    (slope,) = torch.autograd.grad(logits[1].sum(), images, create_graph=True)
    assert [member.passes for member in members] == [0, 1]
    slope.square().sum().backward()
    assert members[1].factor.grad == 2 * 3.0 * images.numel()


def test_weights_that_wait_for_gradients_get_them_even_if_zero() -> None:
    members = [Counting(2.0), Counting(3.0)]
    logits = Ensemble(members)(torch.ones(4, 1, 2, 2))
    (0 * logits).sum().backward()
    assert all(member.factor.grad == 0 for member in members)


def test_gradients_that_are_zero_everywhere_still_arrive() -> None:
    ensemble = Ensemble([Counting(2.0), Counting(3.0)]).requires_grad_(False)
    images = torch.ones(4, 1, 2, 2, requires_grad=True)
    (0 * ensemble(images)).sum().backward()
    assert images.grad is not None
    assert not images.grad.any()


@pytest.mark.parametrize("lowered", [False, True])
def test_a_discriminator_that_is_not_faced_costs_a_forward_pass_alone(lowered: bool) -> None:
    shape = {"resolution": 32, "channels": 3, "width": 4, "norm": "batch", "seed": 0}
    ensemble = make_discriminators("dcgan", 2, **shape)
    if lowered:
        use_im2col(ensemble)
    ensemble.requires_grad_(False)
    images = torch.randn(2, 3, 32, 32, requires_grad=True)

    def operations(*weights: float) -> int:
        with FlopCounterMode(display=False) as counter:
            (torch.tensor(weights)[:, None] * ensemble(images)).sum().backward()
        return int(counter.get_total_flops())

    with FlopCounterMode(display=False) as counter:
        ensemble(images)
    forward = int(counter.get_total_flops())
    assert operations(1.0, 1.0) == 2 * forward
    assert operations(0.0, 1.0) == operations(1.0, 0.0) == 1.5 * forward
