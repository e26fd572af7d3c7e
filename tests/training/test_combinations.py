"""Any two choices of the configuration train, or are refused in one line before data is read.

The choices are the entries of all registries and a few other keys, so that a new entry is tried
with everything else without being named.
"""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.losses import unknown

from d3gan import config as configs
from d3gan.cli.main import main
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.networks import ARCHITECTURES
from d3gan.training.engine import Engine
from d3gan.training.state import make_state

Choice = dict[str, Any]
"""Values by key, for example ``{"gan.objective": "hinge", "gan.discriminators": 2}``."""

CPU = torch.device("cpu")
CLASSES = 4
OTHERS: dict[str, list[Any]] = {
    "gan.objective": ["mcl_gan(k=3)"],
    "gan.fresh_batch": [True],
    "train.accumulate": [2],
    "gan.members": [["dcgan", "dcgan(norm='none')"]],
    "gan.discriminator_steps": [2],
    "model.generator_norm": ["batch", "group", "none"],
    "model.discriminator_norm": ["batch", "group", "none"],
    "model.conditional": [True],
    "data.channels": [1],
    "optim.ema_half_life_images": [50.0],
}
"""Values to try besides the names in the registries."""
GAME = ("gan.objective", "gan.aggregation", "gan.members", "gan.views", "gan.penalties")
"""Keys whose values depend most on the number of discriminators."""
EVERY = 41
"""One in so many combinations is tried in the default run."""


def axes() -> dict[str, list[Any]]:
    """Return the values to try of every key that changes what is learned."""
    found = dict(OTHERS)
    for key, registry in configs._choices().items():
        if key.startswith(("gan.", "model.", "optim.")):
            several = isinstance(configs.flatten(configs.to_dict(Config()))[key], tuple)
            names = [[name] if several else name for name in registry]
            found[key] = [*names, *OTHERS.get(key, [])]
    return found


def side(choice: Choice) -> int:
    """Return a small resolution; views that halve it leave what all architectures are made for."""
    return 32 if "gan.views" in choice else 16


def combinations() -> list[Choice]:
    """Return all pairs of values of two keys, with 1, 2 and 3 discriminators in turn.

    Two values of the keys in `GAME` are tried with each of these numbers.
    """
    return [
        {one: a, other: b, "gan.discriminators": n}
        for (one, left), (other, right) in itertools.combinations(axes().items(), 2)
        for place, (a, b) in enumerate(itertools.product(left, right))
        for n in ((1, 2, 3) if one in GAME and other in GAME else (1 + place % 3,))
    ]


@pytest.fixture
def base(tiny: Config, tmp_path: Path) -> Config:
    """Configuration of tiny networks for images that do not exist."""
    return configs.from_dict(
        {
            "data": {"source": str(tmp_path / "missing.npz")},
            "gan": {"aggregation": "mean"},
            "train": {"precision": "fp32", "batch_size": 4},
        },
        tiny,
    )


def refusal(config: Config) -> str:
    """Return the message with which the configuration is refused; "" if it is accepted."""
    try:
        configs.validate(config)
    except UserError as error:
        return str(error)
    return ""


def assert_trains(config: Config) -> None:
    """Train two steps on random images; all losses and weights are finite."""
    config = configs.validate(config)
    rng = np.random.default_rng(0)
    images = rng.integers(
        0, 256, (40, config.data.channels, *[config.data.resolution] * 2), np.uint8
    )
    state = make_state(config, CPU, classes=CLASSES)
    engine = Engine(config, state, images, CPU, np.arange(40) % CLASSES)
    for _ in range(2):
        losses = engine.step()
        for name, values in losses.items():
            assert (values.isfinite() | unknown(losses, name)).all(), name
    assert state.is_finite()


def assert_refused(config: Config, message: str, choice: Choice, file: Path) -> None:
    """The command ends with status 2 and one line that names a key, before it reads images."""
    assert "\n" not in message
    assert any(key in message for key in choice), message
    file.write_text(configs.to_toml(config), encoding="utf-8")
    assert main(["train", str(file)]) == 2


def attempt(base: Config, choice: Choice, file: Path, errors: pytest.CaptureFixture[str]) -> bool:
    """Return whether the combination trains; check that it is refused properly otherwise."""
    config = configs.from_dict(configs.nested({"data.resolution": side(choice), **choice}), base)
    message = refusal(config)
    if message:
        assert_refused(config, message, choice, file)
        assert errors.readouterr().err.splitlines() == [f"d3gan: error: {message}"]
    else:
        assert_trains(config)
    return not message


def attempt_all(
    base: Config, choices: list[Choice], file: Path, errors: pytest.CaptureFixture[str]
) -> int:
    """Try all and return how many train; report every combination that does neither."""
    failures, trained = {}, 0
    for choice in choices:
        try:
            trained += attempt(base, choice, file, errors)
        except Exception as error:
            failures[str(choice)] = f"{type(error).__name__}: {str(error).splitlines()[:1]}"
    assert not failures, "\n".join(f"{choice}: {error}" for choice, error in failures.items())
    return trained


def test_some_combinations(
    base: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    choices = combinations()[::EVERY]
    assert len(choices) > 50
    assert {choice["gan.discriminators"] for choice in choices} == {1, 2, 3}
    trained = attempt_all(base, choices, tmp_path / "run.toml", capsys)
    assert 0.6 * len(choices) < trained < len(choices), "some are refused, and most train"


@pytest.mark.slow
@pytest.mark.parametrize("pair", [*itertools.combinations(axes(), 2)], ids="-".join)
def test_all_combinations(
    base: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str], pair: tuple[str, str]
) -> None:
    choices = [choice for choice in combinations() if {*pair} <= {*choice}]
    attempt_all(base, choices, tmp_path / "run.toml", capsys)


def test_every_registered_name_is_tried() -> None:
    assert [[name] for name in ARCHITECTURES] == axes()["gan.members"][: len(ARCHITECTURES)]
    assert {"gan.objective", "gan.aggregation", "gan.penalties", "optim.schedule"} <= set(axes())
