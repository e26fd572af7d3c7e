import pytest
import torch
from torch import nn

from d3gan.gan.ema import ema_decay, update_ema


def test_after_one_half_life_half_of_the_start_is_left() -> None:
    average, model = nn.Linear(1, 1).double(), nn.Linear(1, 1).double()
    with torch.no_grad():
        average.weight.fill_(1.0)
        model.weight.fill_(0.0)
    images = 10**9  # far past the ramp-up
    for _ in range(125):
        update_ema(average, model, ema_decay(8, images, 1000))
    assert float(average.weight.detach()) == pytest.approx(0.5, rel=1e-9)


def test_the_start_is_forgotten_early() -> None:
    assert ema_decay(32, 32, 1e6) < 1e-6
    assert ema_decay(32, 10**9, 1e6) > 0.99


def test_buffers_are_copied() -> None:
    average, model = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
    model(torch.randn(4, 2, 3, 3))
    update_ema(average, model, 0.9)
    assert torch.equal(average.running_mean, model.running_mean)
    assert int(average.num_batches_tracked) == 1
