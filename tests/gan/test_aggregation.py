"""Properties of every rule in the registry; a new one is tested without being named."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from d3gan.gan.aggregation import AGGREGATIONS, Aggregation

RULES = list(AGGREGATIONS)
SOME_ZERO = ("dropout", "minimum_norm")
"""Rules that may give some discriminators, but not only one, all of the weight."""


@st.composite
def games(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Distinct positive scores [N, B] and distinct random numbers [N, 1]."""
    n, images = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    numbers = st.lists(
        st.integers(1, 10_000), min_size=n * images, max_size=n * images, unique=True
    )
    score = torch.tensor(draw(numbers), dtype=torch.float64).view(n, images) / 1000
    uniforms = st.lists(st.integers(1, 9_999), min_size=n, max_size=n, unique=True)
    uniform = torch.tensor(draw(uniforms), dtype=torch.float64).view(n, 1) / 10_000
    return score, uniform


def weights_of(rule: Aggregation, score: Tensor, uniform: Tensor) -> Tensor:
    """Return the weights of a rule before it has learned anything."""
    if rule.gradients:  # those of losses with slopes `score`, and one slope of their own each
        score = score @ score.T + torch.diag(score[:, 0])
    return rule.adaptive_weights(score, uniform, rule.initial_state(len(score)))


@pytest.mark.parametrize("name", RULES)
@given(game=games())
def test_weights_are_a_distribution_over_discriminators(
    name: str, game: tuple[Tensor, Tensor]
) -> None:
    score, uniform = game
    rule = AGGREGATIONS.build(name)
    weights = weights_of(rule, score, uniform)
    assert weights.shape == (score[:, :1] if rule.gradients else score).shape
    assert weights.dtype == score.dtype
    assert (weights >= 0).all()
    if rule.sums_to_one:
        torch.testing.assert_close(weights.sum(0), torch.ones_like(weights[0]))


@pytest.mark.parametrize("name", RULES)
@given(game=games(), data=st.data())
def test_weights_follow_a_reordering_of_the_discriminators(
    name: str, game: tuple[Tensor, Tensor], data: st.DataObject
) -> None:
    score, uniform = game
    order = data.draw(st.permutations(range(len(score))))
    rule = AGGREGATIONS.build(name)
    torch.testing.assert_close(
        weights_of(rule, score[order], uniform[order]), weights_of(rule, score, uniform)[order]
    )


@pytest.mark.parametrize("name", RULES)
@given(game=games())
def test_a_rule_that_selects_gives_all_to_one(name: str, game: tuple[Tensor, Tensor]) -> None:
    rule = AGGREGATIONS.build(name)
    weights = weights_of(rule, *game)
    if rule.selects:
        assert sorted(set(weights.flatten().tolist())) in ([1.0], [0.0, 1.0])
    elif not rule.per_sample and len(weights) > 1 and name not in SOME_ZERO:
        assert (weights > 0).all()


@pytest.mark.parametrize("name", RULES)
def test_one_discriminator_has_weight_one(name: str) -> None:
    rule = AGGREGATIONS.build(name)
    weights = weights_of(rule, torch.tensor([[0.7]]), torch.tensor([[0.4]]))
    assert weights.tolist() == [[1.0]]


@given(game=games())
def test_softmax_lies_between_max_and_mean(game: tuple[Tensor, Tensor]) -> None:
    score, uniform = game
    cold = AGGREGATIONS.build("softmax(temperature=1e-5)").weights(score, uniform)
    hot = AGGREGATIONS.build("softmax(temperature=1e9)").weights(score, uniform)
    torch.testing.assert_close(cold, AGGREGATIONS.build("max").weights(score, uniform))
    torch.testing.assert_close(hot, AGGREGATIONS.build("mean").weights(score, uniform))


def test_original_pairs_real_losses_with_the_next_ones_fake_losses() -> None:
    rule = AGGREGATIONS.build("original")
    r = torch.tensor([[1.0], [2.0], [3.0]])
    f = torch.tensor([[10.0], [20.0], [40.0]])
    score = rule.early_score({"real": r, "fake": f})
    assert score is not None
    assert score.flatten().tolist() == [1 + 20, 2 + 40, 3 + 10]
    assert rule.weights(score, torch.rand(3, 1)).flatten().tolist() == [0, 1, 0]


def test_min_and_max() -> None:
    score, uniform = torch.tensor([[3.0], [1.0], [2.0]]), torch.rand(3, 1)
    assert AGGREGATIONS.build("max").weights(score, uniform).flatten().tolist() == [1, 0, 0]
    assert AGGREGATIONS.build("min").weights(score, uniform).flatten().tolist() == [0, 1, 0]


def test_hypervolume_by_hand() -> None:
    # eta = 1.5 * 2 = 3, so the weights are as 1 / (3 - 2) : 1 / (3 - 1).
    weights = AGGREGATIONS.build("hypervolume(delta=1.5)").weights(
        torch.tensor([[2.0], [1.0]]), torch.rand(2, 1)
    )
    torch.testing.assert_close(weights, torch.tensor([[2 / 3], [1 / 3]]))


def test_hypervolume_without_scaling_is_the_gradient_of_the_log_hypervolume() -> None:
    score = torch.tensor([[2.0], [1.0], [1.7]], dtype=torch.float64, requires_grad=True)
    eta = 1.5 * score.detach().max()
    (expected,) = torch.autograd.grad(-(eta - score).log().sum(), score)
    rule = AGGREGATIONS.build("hypervolume(delta=1.5, normalize=False)")
    torch.testing.assert_close(rule.weights(score.detach(), torch.rand(3, 1)), expected)


def test_dropout_keeps_at_least_one_and_the_right_share() -> None:
    rule = AGGREGATIONS.build("dropout(p=0.9)")
    score = torch.ones(3, 1)
    all_dropped = rule.weights(score, torch.tensor([[0.2], [0.5], [0.1]]))
    assert all_dropped.flatten().tolist() == [0, 1, 0]
    two_kept = rule.weights(score, torch.tensor([[0.95], [0.5], [0.99]]))
    assert two_kept.flatten().tolist() == [0.5, 0, 0.5]


def test_random_is_fair() -> None:
    generator = torch.Generator().manual_seed(0)
    rule = AGGREGATIONS.build("random")
    draws = [
        int(rule.weights(torch.zeros(4, 1), torch.rand(4, 1, generator=generator)).argmax())
        for _ in range(4000)
    ]
    counts = torch.bincount(torch.tensor(draws), minlength=4)
    assert (counts - 1000).abs().max() < 5 * (4000 * 0.25 * 0.75) ** 0.5


@pytest.mark.parametrize("name", RULES)
def test_random_numbers_are_drawn_for_the_rules_that_use_them(name: str) -> None:
    rule = AGGREGATIONS.build(name)
    score = torch.tensor([[3.0], [1.0], [2.0]], dtype=torch.float64)
    draws = torch.rand(20, 3, 1, generator=torch.Generator().manual_seed(0)).double()
    unused = torch.full((3, 1), torch.nan, dtype=torch.float64)
    expected = weights_of(rule, score, unused)
    equal = [torch.equal(weights_of(rule, score, uniform), expected) for uniform in draws]
    assert all(equal) != rule.uses_random
