"""Every registered logger records a run once; none of them can end the training."""

import json
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.loggers.reading import READERS, Record
from tests.program import MAIN, group, weights, written

from d3gan import config as configs
from d3gan import extras, messages
from d3gan.config import Config
from d3gan.errors import Interrupted, UserError
from d3gan.loggers import LOGGERS
from d3gan.runs import RunFolder
from d3gan.training import signals, trainer
from d3gan.training.logging import Clock, NonFinite, Recorder
from d3gan.training.tracking import Tracking
from d3gan.training.trainer import train


def logged_by(logger: str, config: Config, **sections: Any) -> Config:
    sections["train"] = sections.get("train", {}) | {"loggers": [logger]}
    return configs.from_dict(sections, config)


def numbers(run: RunFolder) -> Record:
    """Return what metrics.jsonl says, as a logger should record it."""
    record: Record = {}
    prefixes = {"train": "", "eval": "eval/", "report": "report/"}
    for row in run.metrics():
        for key, value in row.items():
            values = {key: value} if isinstance(value, float) else {}
            if isinstance(value, list) and key not in ("chosen", "seeds"):
                values = {f"{key}/{k}": x for k, x in enumerate(value) if x is not None}
            for name, number in values.items():
                record.setdefault(prefixes[row["kind"]] + name, []).append((row["step"], number))
    return record


def assert_same(recorded: Record, expected: Record, *, but: tuple[str, ...] = ()) -> None:
    assert set(recorded) == {*expected, "samples"}
    for name, values in expected.items():
        if name.rpartition("/")[2] not in but:
            assert [step for step, _ in recorded[name]] == [step for step, _ in values], name
            found = [value for _, value in recorded[name]]
            assert found == pytest.approx([value for _, value in values], rel=1e-6), name


TIMINGS = ("train_seconds", "images_per_second", "utilisation", "eval_seconds")
"""What differs when a step is repeated."""


def test_every_logger_records_all_numbers_and_samples(
    logger: str, measured: Config, quick_classifier: None
) -> None:
    run = train(logged_by(logger, measured))
    recorded = READERS[logger](run.path)
    assert_same(recorded, numbers(run))
    assert recorded["samples"] == [(0, 38.0), (4, 38.0), (8, 38.0)], "pictures 38 pixels wide"


def test_a_resumed_run_is_recorded_once(logger: str, tiny: Config) -> None:
    """The process ended after step 9 without a checkpoint, so steps 6 to 10 are repeated."""
    config = logged_by(logger, tiny)
    run = train(config)
    run.checkpoint_file(10).unlink()
    train(config, resume=True)
    recorded = READERS[logger](run.path)
    assert_same(recorded, numbers(run), but=TIMINGS)
    assert [step for step, _ in recorded["samples"]] == [0, 5, 10]


def test_a_service_keeps_the_identifier_of_the_run(logger: str, tiny: Config) -> None:
    config = logged_by(logger, tiny)
    run = train(config)
    assert run.loggers_file.exists() is not LOGGERS.build(logger).overwrites
    if run.loggers_file.exists():
        before = run.loggers_file.read_text()
        assert set(json.loads(before)["logged"]) == {logger}
        train(config, resume=True)
        assert run.loggers_file.read_text() == before


def test_every_logger_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tracking.md").read_text(encoding="utf-8")
    for logger in LOGGERS:
        assert f"\n| `{logger}` | " in page


PLUGIN = """
import os
from dataclasses import dataclass
from pathlib import Path
from d3gan.loggers.base import Logger

@dataclass
class Notes(Logger):
    fails: str = ""

    def write(self, call, *words):
        with Path("notes.txt").open("a") as file:
            print(os.getpid(), call, *words, file=file)
        if call == self.fails:
            raise ConnectionError("no answer\\nfrom the server")
        print("a word on stdout")

    def begin(self, run, config):
        self.write("begin", run.name, run.step, config["seed"])

    def scalars(self, step, values):
        self.write("scalars", step, sorted(values)[0])

    def images(self, step, grid):
        self.write("images", step, *grid.shape)

    def end(self, state):
        self.write("end", state)
"""


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a logger outside the package that writes each call to notes.txt."""
    name = f"notes_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    return f"{name}:Notes"


def calls() -> list[list[str]]:
    return [line.split()[1:] for line in Path("notes.txt").read_text().splitlines()]


def test_a_logger_is_called_in_order(
    notes: str,
    tiny: Config,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train(logged_by(notes, tiny))
    said = calls()
    assert said[0] == ["begin", "tiny", "0", "0"]
    assert said[1] == ["images", "0", "38", "38", "3"]
    assert said[-1] == ["end", "finished"]
    assert [words[1] for words in said if words[0] == "scalars"] == ["3", "5", "6", "9", "10"]
    output = capsys.readouterr()
    assert output.out == "", "stdout is for results"
    assert "a word on stdout" in output.err
    monkeypatch.setattr(messages, "_chosen", [messages.Verbosity.QUIET])
    train(logged_by(notes, tiny, name="quiet"))
    assert "a word" not in "".join(capsys.readouterr())


def test_a_failing_logger_costs_one_warning(
    notes: str, tiny: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = train(configs.from_dict({"name": "plain", "train": {"loggers": []}}, tiny))
    for fails in ("begin", "scalars", "images", "end"):
        run = train(logged_by(f"{notes}(fails='{fails}')", tiny, name=fails))
        warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
        (line,) = warnings
        assert f"{fails}') stopped (ConnectionError: no answer); the run is not affected" in line
        assert calls()[-1][0] == fails, "it is not called again"
        for name, tensor in weights(plain.path).items():
            assert torch.equal(tensor, weights(run.path)[name])
        status = run.status()
        assert status is not None
        assert status.state == "finished"


def test_a_logger_is_told_how_the_run_ended(
    notes: str, tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_finite(recorder: Recorder) -> None:
        raise NonFinite(3, "loss not finite")

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "train_row", not_finite)
        with pytest.raises(UserError, match="diverged"):
            train(logged_by(notes, tiny, name="high"))
    assert calls()[-1] == ["end", "diverged"]
    monkeypatch.setattr(signals.StopRequest, "agreed", lambda self, step: 2 * (step == 4))
    with pytest.raises(Interrupted):
        train(logged_by(notes, tiny))
    assert calls()[-1] == ["end", "interrupted"]
    monkeypatch.setattr(trainer.Engine, "step", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(logged_by(notes, tiny), resume=True)
    assert calls()[-1] == ["end", "failed"]


def test_the_time_of_a_slow_logger_is_not_training(
    notes: str, tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = []
    for call in ("begin", "end"):
        original = getattr(Tracking, call)

        def noted(self: Tracking, *words: str, original: Any = original) -> None:
            paused.append(clocks[-1]._since is None)
            original(self, *words)

        monkeypatch.setattr(Tracking, call, noted)
    clocks = []
    create = Clock.__init__

    def created(clock: Clock, seconds: float) -> None:
        clocks.append(clock)
        create(clock, seconds)

    monkeypatch.setattr(Clock, "__init__", created)
    train(logged_by(notes, tiny))
    assert paused == [True, True]


def test_a_damaged_list_of_what_was_logged_is_no_obstacle(
    notes: str, tiny: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(logged_by(notes, tiny))
    run.loggers_file.write_text("[1")
    config = logged_by(notes, tiny, train={"epochs": 3.0})
    train(config, resume=True)
    assert f"{run.loggers_file} is damaged" in capsys.readouterr().err
    assert [words[1] for words in calls() if words[0] == "scalars"][-2:] == ["12", "15"]


def test_a_missing_package_is_one_line_that_names_the_extra(
    tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(extras, "version", missing)
    for logger in LOGGERS:
        if logger != "tensorboard":  # which is no extra
            with pytest.raises(UserError) as caught:
                configs.validate(logged_by(logger, tiny))
            assert f"pip install 'd3gan[{logger}]'" in str(caught.value)
            assert "it is not installed" in str(caught.value)


def test_an_old_package_is_named_with_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "version", lambda package: "0.9.1")
    with pytest.raises(
        UserError, match=r"needs it 0\.10 or newer, and version 0\.9\.1 is installed"
    ):
        extras.require("it", "0.10", extra="it")
    extras.require("it", "0.9", extra="it")


@pytest.mark.slow
def test_the_main_process_alone_logs(notes: str, tiny: Config, tmp_path: Path) -> None:
    code = f"import os; os.chdir({str(tmp_path)!r})\n{MAIN}"
    file = written(logged_by(notes, tiny), tmp_path)
    for ended in group(code, "train", file):
        assert ended.returncode == 0, ended.stderr
    assert len({line.split()[0] for line in Path("notes.txt").read_text().splitlines()}) == 1
    assert [words[1] for words in calls() if words[0] == "scalars"] == ["3", "5", "6", "9", "10"]
