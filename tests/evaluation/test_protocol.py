"""Numbers are stored with their protocol, and compared only with those of the same one."""

import dataclasses
from pathlib import Path

import pytest
from tests.evaluation.measuring import CPU, rows

from d3gan.config import Config, DataConfig, EvalConfig
from d3gan.data.cache import load_images
from d3gan.errors import UserError
from d3gan.evaluation.evaluator import Evaluator
from d3gan.evaluation.protocol import (
    NOT_COMPARED,
    VERSION,
    EvaluationProtocol,
    check_comparable,
)
from d3gan.training.trainer import train


def test_the_protocol_is_stored_with_every_number(measured: Config) -> None:
    run = train(measured)
    for row in rows(run.path):
        protocol = row["protocol"]
        assert set(protocol) == {field.name for field in dataclasses.fields(EvaluationProtocol)}
        assert protocol["features"] == f"classifier:{measured.data.source}"
        assert protocol["test_accuracy"] > 0.9
        assert len(protocol["weights_sha256"]) == len(protocol["real_sha256"]) == 64
        assert (protocol["real_images"], protocol["generated_images"]) == (200, 150)
        assert (protocol["seed"], protocol["ema"], protocol["classes"]) == (0, True, 0)
        assert (protocol["version"], protocol["tf32"]) == (VERSION, False)
        assert (protocol["real_modes"], protocol["real_resized"]) == (4, False)
        assert protocol["real_revision"] is None


def test_the_format_and_the_modes_of_real_images(labelled: Path) -> None:
    data = DataConfig(str(labelled), resolution=8, channels=3)
    wanted = EvalConfig(samples=150, metrics=("kd",))
    protocol = Evaluator(data, load_images(data), wanted, CPU).protocol()
    assert (protocol.real_resized, protocol.real_modes) == (True, 4)
    downloaded = load_images(data)._replace(revision="4a5b")
    assert Evaluator(data, downloaded, wanted, CPU).protocol().real_revision == "4a5b"


def test_versions_are_never_mixed_and_older_ones_stay_comparable() -> None:
    """Rows of version 1 lack fields, which is not what the message names."""
    new = EvaluationProtocol(
        "f", "w", 0.9, "none", 32, 1, "s", "train", 100, "r", 50, 0, True, 0
    ).to_dict()
    later = ("tf32", "real_modes", "real_resized", "real_revision")
    old = {key: value for key, value in new.items() if key not in later} | {"version": 1}
    check_comparable(old, dict(old), ("a", "b"))
    with pytest.raises(UserError, match=r"differ in version \(1 and 2\)"):
        check_comparable(old, new, ("a", "b"))


@pytest.mark.parametrize("key", [field.name for field in dataclasses.fields(EvaluationProtocol)])
def test_numbers_of_different_protocols_are_not_compared(key: str) -> None:
    one = EvaluationProtocol(
        "f", "w", 0.9, "none", 32, 1, "s", "train", 100, "r", 50, 0, True, 0
    ).to_dict()
    other = one | {key: "something else"}
    check_comparable(one, dict(one), ("a", "b"))
    if key in NOT_COMPARED:
        check_comparable(one, other, ("a", "b"))  # the hash beside them decides
        return
    with pytest.raises(UserError, match=rf"a and b cannot be compared: .* differ in {key}"):
        check_comparable(one, other, ("a", "b"))


def test_protocols_without_classes_are_those_of_unconditional_generators() -> None:
    old = {"seed": 0, "ema": True}
    check_comparable(old, old | {"classes": 0}, ("old", "new"))
    check_comparable(old, old | {"classes": None}, ("old", "a folder"))
    with pytest.raises(UserError, match=r"differ in classes \(0 and 10\)"):
        check_comparable(old, old | {"classes": 10}, ("old", "conditional"))
