"""The code of docs/extending.md, run from outside the package as its readers would."""

import json
import re
import shlex
from pathlib import Path

import pytest
import torch

from d3gan.evaluation.metrics.names import metric_names
from d3gan.runs import RunFolder
from tests.program import d3gan, weights

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
FLAGS = [
    *("--data.limit", "96", "--model.latent-dim", "8", "--train.batch-size", "16"),
    *("--model.generator-width", "16", "--model.discriminator-width", "16"),
    *("--train.precision", "fp64", "--train.log-every-steps", "1", "--eval.samples", "64"),
    *("--eval.every-epochs", "1", "--model.generator-norm", "none", "--samples.count", "4"),
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that holds every example of the page as a file."""
    for block in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE.read_text("utf-8"), re.S):
        name, code = block
        (tmp_path / name).write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command() -> list[str]:
    """The command of the page, as words after ``d3gan``."""
    (text,) = re.findall(r"```sh\nd3gan (.*?)```", PAGE.read_text("utf-8"), re.S)
    return shlex.split(text.replace("\\\n", " "))


def train(*arguments: str) -> None:
    ended = d3gan(*arguments)
    assert ended.returncode == 0, ended.stderr


def named(name: str) -> list[str]:
    words = command()
    words[words.index("--name") + 1] = name
    return [*words, *FLAGS]


def test_every_kind_of_plugin_has_an_example(here: Path) -> None:
    kinds = {"objective", "penalty", "aggregation", "augmentation", "architecture", "view"}
    kinds |= {"schedule", "features", "source", "logger"}
    assert {file.stem for file in here.glob("*.py")} == {f"my_{kind}" for kind in kinds}
    for file in here.glob("my_*.py"):
        assert f"{file.stem}:" in " ".join(command())


def assert_same_weights(one: Path, other: Path) -> None:
    expected = weights(other)
    assert any("members.1.network.mean" in name for name in expected), "buffers are saved"
    for name, tensor in weights(one).items():
        assert torch.equal(tensor, expected[name]), name


def test_the_examples_train_are_evaluated_and_resume_bit_for_bit(here: Path) -> None:
    train(*named("whole"))
    train(*named("halves"), "--train.epochs", "1")
    train("train", "runs/halves", "--train.epochs", "2")
    assert_same_weights(here / "runs" / "halves", here / "runs" / "whole")

    rows = RunFolder(here / "runs" / "whole").metrics()
    trained = [row for row in rows if row["kind"] == "train"]
    assert len(trained) == 12
    assert {"loss_d_real", "loss_d_drift", "loss_g_adversarial", "centre"} <= set(trained[0])
    logged = (here / "runs" / "whole" / "numbers.csv").read_text("utf-8").splitlines()
    assert f"12,loss_g,{trained[-1]['loss_g']}" in logged
    assert len(logged) == len({tuple(line.split(",")[:2]) for line in logged})
    evaluated = [row for row in rows if row["kind"] == "eval"]
    assert len(evaluated) == 3
    assert evaluated[-1]["protocol"]["features"] == "my_features:Histogram"
    assert set(metric_names("my_features:Histogram")) & set(evaluated[-1])
    (session,) = json.loads((here / "runs" / "whole" / "environment.json").read_text("utf-8"))
    assert len(session["plugins"]) == 10
    for recorded in session["plugins"].values():
        assert re.fullmatch(r"[0-9a-f]{64}", recorded["sha256"])


@pytest.mark.slow
def test_the_examples_on_two_processes(here: Path) -> None:
    """A discriminator's buffers depend on the data, so they must be the same on both ranks."""
    train(*named("two"), "--processes", "2")
    train(*named("two-halves"), "--processes", "2", "--train.epochs", "1")
    train("train", "runs/two-halves", "--processes", "2", "--train.epochs", "2")
    assert_same_weights(here / "runs" / "two-halves", here / "runs" / "two")
