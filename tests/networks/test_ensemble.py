"""Discriminators stacked into one network compute what they compute one after another."""

import pytest
import torch
from tests.small_networks import make_discriminators
from torch import Tensor, nn

from d3gan.networks.ensemble import Ensemble
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
    assert ensemble._alike() == [[0, 2], [1], [3]]
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
    assert ensemble._alike() == [[0], [1]]
    ensemble.way = "stacked"
    ensemble(torch.ones(2, 3, 16, 16, dtype=torch.float64))
    assert [float(member.brightness) for member in ensemble.members] == [0.5, 0.5]
