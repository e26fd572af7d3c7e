"""Ensembles: stacked members compute what they compute in sequence; skipped ones cost nothing."""

import pytest
import torch
from tests.kernels import use_everywhere
from tests.small_networks import make_discriminators
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from d3gan.acceleration.convolutions import KERNELS
from d3gan.networks.ensemble import Ensemble, Way, joins_batches
from d3gan.networks.norms import NORMS


def everything(ensemble: Ensemble, images: Tensor, labels: Tensor | None = None) -> list[Tensor]:
    """Logits, and the gradients of a loss with R1, as in training."""
    images = images.clone().requires_grad_()
    logits = ensemble(images, -images.detach(), labels=labels)
    slopes = [
        torch.autograd.grad(row.sum(), images, create_graph=True)[0]
        for row in logits[:, : len(images)]
    ]
    penalty = torch.stack([slope.square().sum(dim=(1, 2, 3)) for slope in slopes])
    loss = logits.sin().sum() + penalty.sum()
    return [logits, penalty, *torch.autograd.grad(loss, list(ensemble.parameters()))]


def assert_stacked_is_sequential(ensemble: Ensemble, labels: Tensor | None = None) -> None:
    images = torch.randn(5, 3, 16, 16, dtype=torch.float64)
    expected = everything(ensemble, images, labels)
    ensemble.way = "stacked"
    for mine, theirs in zip(everything(ensemble, images, labels), expected, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("norm", NORMS)
def test_stacked_is_one_after_another(norm: str) -> None:
    assert_stacked_is_sequential(make_discriminators("dcgan", 3, norm=norm).double())


def test_stacked_conditional_discriminators() -> None:
    ensemble = make_discriminators("dcgan", 3, classes=4).double()
    assert_stacked_is_sequential(ensemble, torch.tensor([0, 3, 1, 1, 2]))


def test_members_that_are_alike_are_stacked_among_themselves() -> None:
    members = ("dcgan(width=2)", "dcgan(norm='none')", "dcgan(width=2)", "dcgan(activation='mish')")
    ensemble = make_discriminators(members=members).double()
    assert ensemble._alike(range(4)) == [[0, 2], [1], [3]]
    assert_stacked_is_sequential(ensemble)


class Buffered(nn.Module):
    """A discriminator that remembers the mean brightness of its images."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 16 * 16, 1)
        self.register_buffer("brightness", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        self.brightness.lerp_(images.detach().mean(), 0.5)
        return self.layer(images.flatten(1)).flatten()


def test_members_with_buffers_are_never_stacked() -> None:
    ensemble = Ensemble([Buffered(), Buffered()]).double()
    assert ensemble._alike(range(len(ensemble))) == [[0], [1]]
    ensemble.way = "stacked"
    ensemble(torch.ones(2, 3, 16, 16, dtype=torch.float64))
    assert [float(member.brightness) for member in ensemble.members] == [0.5, 0.5]


class Counting(nn.Module):
    """x -> factor * sum(x); counts its backward passes."""

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


def test_backward_skips_discriminators_that_the_generator_does_not_face() -> None:
    members = [Counting(2.0), Counting(3.0)]
    ensemble = Ensemble(members).requires_grad_(False)
    images = torch.ones(4, 1, 2, 2, requires_grad=True)
    (torch.tensor([[0.0], [1.0]]) * ensemble(images)).sum().backward()
    assert [member.passes for member in members] == [0, 1]
    assert torch.equal(images.grad, torch.full_like(images, 3.0))


def test_the_penalty_of_one_discriminator_skips_the_others() -> None:
    members = [Counting(2.0), Counting(3.0)]
    images = torch.ones(4, 1, 2, 2, requires_grad=True)
    logits = Ensemble(members)(images)
    (slope,) = torch.autograd.grad(logits[1].sum(), images, create_graph=True)
    assert [member.passes for member in members] == [0, 1]
    slope.square().sum().backward()
    assert members[1].factor.grad == 2 * 3.0 * images.numel()


def test_parameters_that_collect_gradients_get_zero_gradients() -> None:
    members = [Counting(2.0), Counting(3.0)]
    logits = Ensemble(members)(torch.ones(4, 1, 2, 2))
    (0 * logits).sum().backward()
    assert all(member.factor.grad == 0 for member in members)


def test_a_gradient_that_is_zero_for_all_members_still_arrives() -> None:
    ensemble = Ensemble([Counting(2.0), Counting(3.0)]).requires_grad_(False)
    images = torch.ones(4, 1, 2, 2, requires_grad=True)
    (0 * ensemble(images)).sum().backward()
    assert images.grad is not None
    assert not images.grad.any()


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_discriminator_without_gradient_costs_a_forward_pass_only(kernel: str) -> None:
    shape = {"resolution": 32, "channels": 3, "width": 4, "norm": "batch", "seed": 0}
    ensemble = make_discriminators("dcgan", 2, **shape)
    use_everywhere(ensemble, kernel)
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


@pytest.mark.parametrize("way", ["sequential", "stacked"])
def test_images_of_each_member(way: Way) -> None:
    """A batch [N, B, C, H, W] shows each member its own images; others are shared."""
    members = ("dcgan(width=2)", "dcgan(norm='none')", "dcgan(width=2)")
    ensemble = make_discriminators(members=members).double()
    own, shared = torch.randn(3, 5, 3, 16, 16).double(), torch.randn(4, 3, 16, 16).double()
    expected = [
        torch.cat([member(own[k]), member(shared)]) for k, member in enumerate(ensemble.members)
    ]
    ensemble.way = way
    torch.testing.assert_close(ensemble(own, shared), torch.stack(expected))


@pytest.mark.parametrize("way", ["sequential", "stacked"])
def test_members_that_are_left_out_are_not_computed(way: Way) -> None:
    ensemble = make_discriminators("dcgan", 3).double()
    images = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    expected = ensemble(images)
    ensemble.way = way
    torch.testing.assert_close(ensemble(images, only=[0, 2]), expected[[0, 2]])
    ensemble.members[1] = nn.Identity()  # which would fail
    torch.testing.assert_close(ensemble(images, only=[2]), expected[[2]])


def test_a_member_chosen_on_the_device() -> None:
    ensemble = make_discriminators("dcgan", 3).double()
    assert ensemble.are_alike()
    images, own = torch.randn(2, 4, 3, 16, 16).double(), torch.randn(3, 4, 3, 16, 16).double()
    expected = ensemble(images[0], own)
    for k in range(3):
        chosen = ensemble(images[0], own, only=torch.tensor([k]))
        torch.testing.assert_close(chosen, expected[[k]])
    labelled = make_discriminators("dcgan", 2, classes=4).double()
    labels = torch.tensor([0, 3, 1, 2])
    expected = labelled(images[0], labels=labels)
    chosen = labelled(images[0], labels=labels, only=torch.tensor([1]))
    torch.testing.assert_close(chosen, expected[[1]])
    assert not make_discriminators(members=("dcgan", "dcgan(width=2)")).are_alike()


def joined_and_separate(ensemble: Ensemble, labels: Tensor | None = None) -> None:
    """Assert that one call for two batches gives the same, with R1, as a call for each."""
    images = torch.randn(5, 3, 16, 16, dtype=torch.float64)
    expected = everything(ensemble, images, labels)
    ensemble.join = True
    for mine, theirs in zip(everything(ensemble, images, labels), expected, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("norm", NORMS)
def test_joined_batches_have_separate_statistics(norm: str) -> None:
    ensemble = make_discriminators("dcgan", 2, norm=norm).double()
    assert all(joins_batches(member) for member in ensemble.members)
    joined_and_separate(ensemble)


def test_joined_batches_of_other_networks() -> None:
    joined_and_separate(make_discriminators("r3gan", 2, width=8).double())
    joined_and_separate(
        make_discriminators("dcgan", 2, classes=4).double(), torch.tensor([0, 3, 1, 1, 2])
    )


def test_networks_that_state_nothing_or_have_buffers_are_not_joined() -> None:
    """Their batches may depend on each other, and every forward pass may change a buffer."""
    assert not joins_batches(Buffered())
    assert not any(map(joins_batches, make_discriminators("sngan", 1, width=8).members))
    buffered, images = Ensemble([Buffered()]).double(), torch.randn(2, 5, 3, 16, 16).double()
    expected = buffered(*images)
    buffered.join = True
    assert torch.equal(buffered(*images), expected)
