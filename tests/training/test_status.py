"""What status.json says about runs that end in each possible way, seen from outside."""

import os
import platform
import signal
import sys
from pathlib import Path

import pytest
from tests.program import d3gan, finish, forget_config, run_code, start, wait_for, written

from d3gan import config as configs
from d3gan.cli.main import main
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.run_status import Status
from d3gan.runs import RunFolder
from d3gan.training import status as status_module
from d3gan.training.checkpoint import read_checkpoint
from d3gan.training.trainer import train

ENDLESS = {"train": {"batch_size": 8, "epochs": 10_000.0}}


def changed(config: Config, **sections: object) -> Config:
    return configs.from_dict(sections, config)


def status_of(config: Config) -> Status:
    status = RunFolder(config.run_dir).status()
    assert status is not None
    return status


def test_a_run_that_made_all_steps_is_finished(tiny: Config, tmp_path: Path) -> None:
    assert d3gan("train", written(tiny, tmp_path)).returncode == 0
    status = status_of(tiny)
    assert (status.state, status.step, status.total_steps) == ("finished", 10, 10)
    assert (status.finished, status.share, status.message) == (True, 1.0, "")
    assert status.host == platform.node()
    assert status.pid != os.getpid()
    assert status.train_seconds > 0
    assert status.flops_per_step is not None
    assert status.flops_per_step > 1e5


def test_a_run_whose_metric_does_not_improve_is_stopped_early(
    measured: Config, tmp_path: Path
) -> None:
    file = written(
        measured,
        tmp_path,
        train={"epochs": 50.0},
        eval={"patience": 1},
        optim={"lr_g": 1e-9, "lr_d": 1e-9, "ema_half_life_images": 0.0},
    )
    result = d3gan("train", file)
    assert result.returncode == 0, result.stderr
    status = status_of(measured)
    assert (status.state, status.step, status.total_steps) == ("stopped_early", 4, 200)
    assert status.finished
    assert status.message.startswith("stopped early at step 4 of 200")
    assert status.message in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_run_that_gets_a_signal_is_interrupted(
    tiny: Config, tmp_path: Path, number: signal.Signals
) -> None:
    process = start("train", written(tiny, tmp_path, **ENDLESS))
    run = RunFolder(tiny.run_dir)
    wait_for(lambda: any(run.checkpoints.glob("step-*.pt")), process)
    running = status_of(tiny)
    assert (running.state, running.pid, running.message) == ("running", process.pid, "")
    process.send_signal(number)
    assert finish(process, 60).returncode == 128 + number
    status = status_of(tiny)
    assert status.state == "interrupted"
    assert status.message.startswith(f"interrupted at step {status.step} of 50000;")
    assert run.checkpoint_file(status.step).exists()


def test_a_run_that_is_killed_is_interrupted(tiny: Config, tmp_path: Path) -> None:
    process = start("train", written(tiny, tmp_path, **ENDLESS))
    wait_for(lambda: any(tiny.run_dir.glob("checkpoints/step-*.pt")), process)
    process.kill()
    finish(process, 60)
    status = status_of(tiny)
    assert status.state == "interrupted"
    assert status.message == "the process ended without writing its status"
    assert '"running"' in RunFolder(tiny.run_dir).status_file.read_text()


def test_a_run_with_infinite_weights_is_diverged(tiny: Config, tmp_path: Path) -> None:
    file = written(tiny, tmp_path, train={"precision": "fp32"}, optim={"lr_g": 10.0, "lr_d": 10.0})
    code = (
        "import sys, torch; from d3gan.training.state import State; s = State.is_finite\n"
        "State.is_finite = lambda self: self.step < 10 and s(self)\n"
        "from d3gan.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    result = run_code(code, "train", file)
    assert result.returncode == 2
    status = status_of(tiny)
    assert (status.state, status.step) == ("diverged", 10)
    assert status.message.startswith("weights not finite after step 10: training diverged")
    assert status.message in result.stderr
    assert not status.finished


FAILS = """
import sys
from d3gan.training.logging import Recorder
def fails(recorder):
    raise ZeroDivisionError("a fault\\nof ours")
Recorder.train_row = fails
from d3gan.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_run_that_ends_by_an_exception_is_failed(tiny: Config, tmp_path: Path) -> None:
    assert run_code(FAILS, "train", written(tiny, tmp_path)).returncode == 1
    status = status_of(tiny)
    assert (status.state, status.step) == ("failed", 3)
    assert status.message == "ZeroDivisionError: a fault"


def test_a_refused_resume_leaves_the_status(tiny: Config) -> None:
    train(tiny)
    before = status_of(tiny)
    with pytest.raises(UserError, match="has already been trained for longer"):
        train(changed(tiny, train={"epochs": 1.0}), resume=True)
    assert status_of(tiny) == before


def test_operations_are_counted_once(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    train(tiny)
    counted = status_of(tiny).flops_per_step
    monkeypatch.setattr(status_module, "flops_per_step", None)
    train(changed(tiny, train={"epochs": 3.0}), resume=True)
    assert status_of(tiny).flops_per_step == counted


def test_an_edited_result_key_is_refused(tiny: Config, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(tiny)
    capsys.readouterr()
    text = run.config_file.read_text(encoding="utf-8")
    run.config_file.write_text(text.replace("batch_size = 8", "batch_size = 10"), encoding="utf-8")
    assert main(["train", str(run.path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("d3gan: error: train.batch_size = 10: cannot change when a run is")
    assert "the run has 8" in line
    # Keys of other roles may be edited, and the folder may be renamed.
    edited = text.replace("epochs = 2.0", "epochs = 3.0").replace("keep = 3", "keep = 1")
    run.config_file.write_text(edited, encoding="utf-8")
    renamed = RunFolder(run.path.rename(run.path.with_name("renamed")))
    assert main(["train", str(renamed.path)]) == 0
    status = renamed.status()
    assert status is not None
    assert (status.state, status.step) == ("finished", 15)
    assert read_checkpoint(renamed.checkpoint_file(15))["config"]["name"] == "renamed"


def test_a_checkpoint_without_config_resumes(tiny: Config) -> None:
    run = train(changed(tiny, train={"epochs": 1.0}))
    forget_config(run)
    train(tiny, resume=True)
    assert read_checkpoint(run.checkpoint_file(10))["config"]["train"]["batch_size"] == 8


def test_a_damaged_status_is_replaced_by_the_next_session(tiny: Config) -> None:
    run = train(changed(tiny, train={"epochs": 1.0}))
    run.status_file.write_text("")
    train(tiny, resume=True)
    assert status_of(tiny).state == "finished"
