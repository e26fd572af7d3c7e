"""Discriminators stacked into one network are the same discriminators."""

import pytest
import torch
from torch import Tensor

from d3gan.gan.objectives import r1_penalty
from d3gan.networks import build_discriminators
from d3gan.networks.ensemble import Ensemble
from d3gan.networks.norms import NORMS

SHAPE = {"resolution": 16, "channels": 3, "width": 4, "seed": 0}


def everything(ensemble: Ensemble, images: Tensor) -> list[Tensor]:
    """Logits, and the gradients of a loss with R1, as in training."""
    images = images.clone().requires_grad_()
    logits = ensemble(images, -images.detach())
    penalty = r1_penalty(logits[:, : len(images)], images)
    loss = logits.sin().sum() + penalty.sum()
    return [logits, penalty, *torch.autograd.grad(loss, list(ensemble.parameters()))]


@pytest.mark.parametrize("norm", NORMS)
def test_stacked_is_one_after_another(norm: str) -> None:
    ensemble = build_discriminators("dcgan", 3, norm=norm, **SHAPE).double()
    images = torch.randn(5, 3, 16, 16, dtype=torch.float64)
    expected = everything(ensemble, images)
    ensemble.way = "stacked"
    for mine, theirs in zip(everything(ensemble, images), expected, strict=True):
        torch.testing.assert_close(mine, theirs)
