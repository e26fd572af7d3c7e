"""Gradient accumulation gives the result of the whole batch; a fresh batch for the generator."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.losses import unknown
from tests.training.distributed.test_several_processes import alone, assert_same_weights, together
from tests.training.test_engine import assert_same_weights as assert_same_networks
from tests.training.test_engine import compare, made, run

from d3gan.config import Config, from_dict, validate
from d3gan.errors import UserError
from d3gan.gan.aggregation import AGGREGATIONS
from d3gan.gan.objectives import JointObjective
from d3gan.networks import ARCHITECTURES
from d3gan.training.trainer import train

NO_NORM = {"generator_norm": "group", "discriminator_norm": "none"}
WITHOUT_BATCH_STATISTICS = [name for name in ARCHITECTURES if name != "sngan"]
"""Spectral norm iterates once for each micro-batch."""


def in_parts(config: Config, **sections: dict[str, Any]) -> None:
    """Compare the plain loop on whole batches of 8 with the engine on micro-batches of 3, 3, 2."""
    whole = made(config, "baseline", **sections)
    parts = made(config, "eager", **sections | {"train": {"accumulate": 3}})
    theirs, mine = run(whole, 3), run(parts, 3)
    assert_same_networks(parts, whole, 1e-8)
    for a, b in zip(mine, theirs, strict=True):
        assert set(a) == set(b)
        for name in a:
            mine_known = a[name].where(~unknown(a, name), b[name])
            assert mine_known.allclose(b[name], rtol=1e-7, atol=1e-11), name


@pytest.mark.parametrize("rule", AGGREGATIONS)
def test_every_rule_sees_the_whole_batch(tiny: Config, rule: str) -> None:
    in_parts(tiny, gan={"aggregation": rule, "discriminators": 3}, model=NO_NORM)


@pytest.mark.parametrize("architecture", WITHOUT_BATCH_STATISTICS)
def test_every_architecture(tiny: Config, architecture: str) -> None:
    gan = {"objective": "relativistic", "aggregation": "mean", "penalties": ["r1", "wgan_gp"]}
    model = NO_NORM | {"architecture": architecture, "conditional": True}
    in_parts(tiny, gan=gan | {"augmentations": ["color", "cutout"]}, model=model)


def test_one_discriminator_with_a_fresh_batch(tiny: Config) -> None:
    gan = {"discriminators": 1, "discriminator_steps": 2, "fresh_batch": True}
    in_parts(tiny, gan=gan, model=NO_NORM)


@pytest.mark.parametrize("way", ["eager", "static"])
def test_a_fresh_batch_has_other_images_and_latents(tiny: Config, way: str) -> None:
    gan = {"objective": "relativistic", "aggregation": "softmax", "fresh_batch": True}
    compare(tiny, way, gan=gan, model={"conditional": True})
    engine = made(tiny, "eager", gan=gan)
    shown, fresh = (engine.batch(number) for number in engine.batches())
    assert (shown.real != fresh.real).any()
    assert (shown.z != fresh.z).any()
    assert engine.config.images_per_step == engine.config.train.batch_size, "as without it"


def test_two_processes_accumulate_as_one_does_not(tiny: Config, tmp_path: Path) -> None:
    sections: dict[str, dict[str, Any]] = {
        "gan": {"aggregation": "softmax", "objective": "relativistic", "penalties": ["r1"]},
        "model": NO_NORM,
    }
    whole = alone(tiny, **sections)
    parts = together(tiny, tmp_path, 2, **sections | {"train": {"accumulate": 2}})
    assert_same_weights(whole, parts, 1e-8)


@dataclass(frozen=True)
class Balanced(JointObjective):
    """An objective that needs means over the batch."""


def test_what_needs_means_over_the_batch_is_refused(tiny: Config) -> None:
    gan = {"objective": f"{__name__}:Balanced", "aggregation": "mean"}
    with pytest.raises(UserError, match=r"train.accumulate = 2: .*Balanced.* the whole batch"):
        validate(from_dict({"gan": gan, "train": {"accumulate": 2}}, tiny))


def test_micro_batches_without_an_image_are_refused(tiny: Config) -> None:
    with pytest.raises(UserError, match=r"train.batch_size = 8: must be at least 9"):
        train(from_dict({"train": {"accumulate": 9}}, tiny))
