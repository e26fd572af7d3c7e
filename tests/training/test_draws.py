"""The random numbers of a step."""

import pytest
import torch

from d3gan import config as configs
from d3gan.config import Config
from d3gan.rng import Stream, normal, uniform
from d3gan.training import draws as drawing
from d3gan.training.build import build_rules
from d3gan.training.draws import BATCHES_AT_ONCE, Draws

CPU = torch.device("cpu")


def draws_of(config: Config, shard: range = range(8), **gan: object) -> Draws:
    config = configs.from_dict({"gan": gan}, config)
    return Draws(config, build_rules(config.gan), shard, CPU)


@pytest.mark.parametrize("most", [1, 2**22])
def test_latents_are_those_of_the_batch_in_any_order(
    tiny: Config, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(drawing, "NUMBERS_AT_ONCE", most)
    shard = range(3, 8)
    draws = draws_of(tiny, shard)
    for batch in (0, 1, BATCHES_AT_ONCE, 3 * BATCHES_AT_ONCE + 5, 2, 1):
        alone = normal(tiny.seed, Stream.NOISE, batch, torch.arange(3, 8), tiny.model.latent_dim)
        assert torch.equal(draws.latents(batch), alone)


def test_latents_of_many_batches_are_drawn_together(
    tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counting(*arguments: object) -> torch.Tensor:
        calls.append(arguments)
        return normal(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(drawing, "normal", counting)
    draws = draws_of(tiny)
    for batch in range(2 * BATCHES_AT_ONCE):
        draws.latents(batch)
    assert len(calls) == 2


def test_the_rule_gets_random_numbers_only_if_it_uses_them(tiny: Config) -> None:
    random = draws_of(tiny, aggregation="random", discriminators=3)
    expected = uniform(tiny.seed, Stream.AGGREGATION, 5, torch.arange(3), 1)
    assert torch.equal(random.aggregation(5), expected)
    original = draws_of(tiny, aggregation="original", discriminators=3)
    assert original.aggregation(5) is original.aggregation(6)
    assert original.aggregation(5).shape == expected.shape
    alone = draws_of(tiny, aggregation="random", discriminators=1)
    assert alone.aggregation(5) is alone.aggregation(6)
