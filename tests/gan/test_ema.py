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


@pytest.mark.parametrize("half_life", [1.0, 100.0, 1e6])
def test_without_ramp_up_the_half_life_is_the_same_from_the_first_step(half_life: float) -> None:
    assert ema_decay(32, 32, half_life, ramp_up=0) == 0.5 ** (32 / half_life)


def test_the_ramp_up_is_a_share_of_the_images_seen() -> None:
    assert ema_decay(32, 6400, 1e6, ramp_up=0.5) == pytest.approx(0.5 ** (32 / 3200))
    assert ema_decay(32, 6400, 100, ramp_up=0.5) == pytest.approx(0.5 ** (32 / 100))


@pytest.mark.parametrize("on_device", [False, True])
def test_a_half_life_of_zero_copies_the_weights(on_device: bool) -> None:
    average, model = nn.Linear(7, 5), nn.Linear(7, 5)
    decay = ema_decay(1, 10**9, 0.0, ramp_up=0)
    update_ema(average, model, torch.tensor(decay) if on_device else decay)
    for mine, theirs in zip(average.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def test_buffers_are_copied() -> None:
    average, model = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
    model(torch.randn(4, 2, 3, 3))
    update_ema(average, model, 0.9)
    assert torch.equal(average.running_mean, model.running_mean)
    assert int(average.num_batches_tracked) == 1
