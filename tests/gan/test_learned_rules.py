"""The rules with a state: GMAN* against torch.optim.Adam, acGAN against a plain loop."""

import math

import pytest
import torch
from tests.gan.playing import game, networks, play
from torch.nn.functional import softplus

from d3gan.gan.aggregation.learned import Adaptive, GmanStar

STEPS = 200
UNIFORM = torch.zeros(3, 1)


def scores(count: int = 3) -> list[torch.Tensor]:
    """Return losses [N, 1] that differ by more at first, then by less."""
    generator = torch.Generator().manual_seed(0)
    spread = [0.3 if step < STEPS // 2 else 0.003 for step in range(STEPS)]
    normal = torch.randn(STEPS, count, 1, generator=generator, dtype=torch.float64)
    return [-0.7 + s * x for s, x in zip(spread, normal, strict=True)]


@pytest.mark.parametrize("beta1", [0.0, 0.5])
def test_gman_star_minimises_equation_7_with_adam(beta1: float) -> None:
    rule = GmanStar(c=0.002, lr=0.05, beta1=beta1, initial=0.3)
    state = rule.initial_state(3)
    log_odds = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([log_odds], 0.05, (beta1, 0.999))
    path = []
    for score in scores():
        weights = rule.adaptive_weights(score, UNIFORM, state)
        inverse_temperature = softplus(log_odds)
        soft = torch.softmax(inverse_temperature * score[:, 0], dim=0)
        torch.testing.assert_close(weights[:, 0], soft.detach())
        objective = (soft * score[:, 0]).sum() - 0.002 * inverse_temperature
        optimizer.zero_grad()
        objective.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        rule.update(state, score, None, None)
        torch.testing.assert_close(state["l"], log_odds.detach(), rtol=1e-10, atol=1e-12)
        path.append(float(state["l"]))
    lowest = min(range(STEPS), key=path.__getitem__)
    assert path[lowest] < 0  # losses that differ lower lambda ...
    assert lowest < STEPS - 1
    assert path[-1] > path[lowest]  # ... and losses that agree raise it


def test_gman_star_through_its_weights_is_the_derivative_of_the_mean() -> None:
    rule = GmanStar(through_weights=True, initial=0.5)
    g = torch.tensor([0.2, 0.9, 0.4], dtype=torch.float64, requires_grad=True)
    soft = torch.softmax(math.log1p(math.exp(0.5)) * g, dim=0)
    (expected,) = torch.autograd.grad((soft * g).sum(), g)
    weights = rule.adaptive_weights(g.detach()[:, None], UNIFORM, rule.initial_state(3))
    torch.testing.assert_close(weights[:, 0], expected)


def test_adaptive_is_the_authors_loop() -> None:
    rule = Adaptive(inverse_temperature=15.0, alpha=0.3)
    state = rule.initial_state(3)
    quality = [0.0, 0.0, 0.0]
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        exponentials = [math.exp(15 * q) for q in quality]
        expected = [[e / sum(exponentials)] for e in exponentials]
        score = torch.rand(3, 1, generator=generator, dtype=torch.float64)
        actual = rule.adaptive_weights(score, UNIFORM, state)
        torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float64))
        before, after = torch.rand(2, 3, generator=generator, dtype=torch.float64)
        rule.update(state, score, before, after)
        for k in range(3):
            reward = float(after[k]) - float(before[k])
            quality[k] = 0.3 * reward + 0.7 * quality[k]
    assert max(quality) - min(quality) > 0.05


@pytest.mark.parametrize("objective", ["non_saturating", "relativistic"])
def test_feedback_looks_at_generated_images_once_more(objective: str) -> None:
    """Discriminators see real images where a loss needs them, and not for the feedback."""
    generator, ensemble = networks(2)
    batches: list[int] = []
    ensemble.register_forward_pre_hook(lambda _, inputs: batches.append(len(inputs)))
    steps = len(play(game(generator, ensemble, "adaptive", objective), 2))
    of_generator = [1, 1] if objective == "relativistic" else [1]
    assert batches == [2, *of_generator, 1] * steps


def test_wrong_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match="lr must be above 0, not 0"):
        GmanStar(lr=0)
    with pytest.raises(ValueError, match="beta1 must be at least 0 and below 1, not 1"):
        GmanStar(beta1=1)
    with pytest.raises(ValueError, match="alpha must be above 0 and at most 1, not 2"):
        Adaptive(alpha=2)
