import math

import pytest
import torch

from d3gan.evaluation.metrics.modes import kl_divergence, modes_found


def test_modes() -> None:
    found = modes_found(torch.tensor([500.0, 0.0, 499.0, 1.0]))
    assert found.value == 3
    # 1,000 images miss a class of share 1/1000 with probability 1/e.
    assert found.standard_error == pytest.approx(math.sqrt(math.exp(-1) * (1 - math.exp(-1))), 0.01)


def test_divergence_in_closed_form() -> None:
    uniform = torch.full((4,), 0.25)
    assert kl_divergence(torch.tensor([25.0] * 4), uniform).value == 0
    assert kl_divergence(torch.tensor([50.0, 50, 0, 0]), uniform).value == pytest.approx(
        math.log(2)
    )
    half = torch.tensor([0.5, 0.5])
    expected = 0.9 * math.log(1.8) + 0.1 * math.log(0.2)
    assert kl_divergence(torch.tensor([90.0, 10.0]), half).value == pytest.approx(expected)


def test_the_standard_error_is_the_spread_over_draws() -> None:
    shares, truth = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.7, 0.2, 0.1])
    generator = torch.Generator().manual_seed(0)
    draws = torch.multinomial(truth.expand(2000, -1), 400, True, generator=generator)
    counts = torch.stack([(draws == k).sum(1) for k in range(3)], dim=1)
    estimates = [kl_divergence(c, shares) for c in counts.double()]
    values = torch.tensor([estimate.value for estimate in estimates])
    errors = torch.tensor([estimate.standard_error for estimate in estimates])
    assert float(errors.mean()) == pytest.approx(float(values.std()), rel=0.1)
