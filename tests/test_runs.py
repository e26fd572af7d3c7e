import dataclasses
import json
import threading
from pathlib import Path

import pytest

from d3gan.errors import UserError
from d3gan.run_status import Status
from d3gan.runs import RunFolder, step_of


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def test_each_session_is_recorded(run: RunFolder) -> None:
    with run.locked():
        run.begin('name = "x"\n', {"torch": "1"})
        run.begin('name = "x"\n', {"torch": "2"})
    assert run.exists()
    assert run.config() == {"name": "x"}
    assert run.sessions() == [{"torch": "1"}, {"torch": "2"}]


def test_rows_and_samples_of_later_steps_are_removed(run: RunFolder) -> None:
    run.begin("", {})
    run.append_metrics({"kind": "train", "step": step} for step in (1, 2))
    run.append_metrics([{"kind": "train", "step": 3}])
    for step in (0, 2, 3):
        run.sample_file(step).touch()
    run.forget_after(2)
    assert [row["step"] for row in run.metrics()] == [1, 2]
    assert sorted(map(step_of, run.samples.iterdir())) == [0, 2]


def test_what_a_killed_process_left_half_written_is_removed(run: RunFolder) -> None:
    run.begin("", {})
    ours = [
        run.path / ".status.json.123.tmp",
        run.checkpoints / ".step-00000004.pt.77.tmp",
        run.checkpoints / ".best.pt.8.tmp",
        run.samples / ".step-00000004.png.9.tmp",
    ]
    others = [run.path / ".report.html.5.tmp", run.path / "x.tmp", run.checkpoints / ".a.tmp"]
    for file in (*ours, *others):
        file.touch()
    with run.locked():
        run.remove_temporary()
    assert not any(file.exists() for file in ours)
    assert all(file.exists() for file in others)


def test_metrics_are_strict_json(run: RunFolder) -> None:
    run.begin("", {})
    with pytest.raises(ValueError, match="Out of range float"):
        run.append_metrics([{"kind": "train", "step": 1, "loss_g": float("nan")}])
    assert run.metrics() == []
    row = {"kind": "train", "step": 1, "loss_g": 0.5}
    run.append_metrics([row])
    assert json.loads(run.metrics_file.read_text()) == row


def test_damage_is_reported_with_its_place(run: RunFolder) -> None:
    run.begin("", {})
    row = '{"kind": "train", "step": 1}\n'
    for damage in ("nonsense", "{}", "[1]"):
        run.metrics_file.write_text(f"{row}{damage}\n{row}")
        with pytest.raises(UserError, match=r"metrics\.jsonl line 2 is damaged"):
            run.metrics()
    run.metrics_file.write_text(f"{row}nonsense\n")
    with pytest.raises(
        UserError, match=r"metrics\.jsonl line 2 is damaged .*; repair it, or restore"
    ):
        run.metrics()
    run.environment_file.write_text("[")
    with pytest.raises(UserError, match=r"environment\.json is damaged"):
        run.sessions()


def test_a_folder_is_locked_and_removed_if_unused(run: RunFolder) -> None:
    with run.locked(), pytest.raises(UserError, match="another process is writing"), run.locked():
        pass
    assert not run.path.exists()


def test_a_missing_run_is_reported(run: RunFolder) -> None:
    with pytest.raises(UserError, match="there is no run at"):
        run.config()


STATUS = Status("running", 3, 10, 1.5, 42, "here", "", 2e6)


def test_a_status_is_read_as_it_was_written(run: RunFolder) -> None:
    assert run.status() is None
    with run.locked():
        run.begin("", {})
        run.write_status(STATUS)
        assert run.status() == STATUS
        assert (STATUS.finished, STATUS.share) == (False, 0.3)
        over = dataclasses.replace(STATUS, state="stopped_early", message="why")
        run.write_status(over)
    assert run.status() == over
    assert over.finished
    assert json.loads(run.status_file.read_text())["flops_per_step"] == 2e6
    assert not list(run.path.glob("*.tmp"))


def test_a_running_status_without_lock_is_interrupted(run: RunFolder) -> None:
    run.begin("", {})
    run.write_status(STATUS)
    status = run.status()
    assert status is not None
    assert status.state == "interrupted"
    assert status.message == "the process ended without writing its status"
    assert status.step == 3


def test_reading_the_status_does_not_prevent_a_run_from_starting(run: RunFolder) -> None:
    run.begin("", {})
    run.write_status(STATUS)
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            run.status()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(20):
            with run.locked():
                pass
    finally:
        done.set()
        reader.join()


@pytest.mark.parametrize("damage", ["nonsense", "{}", '{"state": "running"}'])
def test_a_damaged_status_is_reported(run: RunFolder, damage: str) -> None:
    run.begin("", {})
    run.status_file.write_text(damage)
    with pytest.raises(UserError, match=r"status\.json is damaged .*; repair it, or restore"):
        run.status()


def test_an_unknown_state_is_reported(run: RunFolder) -> None:
    run.begin("", {})
    run.status_file.write_text(json.dumps(dataclasses.asdict(STATUS) | {"state": "asleep"}))
    with pytest.raises(UserError, match="unknown state 'asleep'"):
        run.status()


class Old:
    """A run folder of a version without status.json."""

    def __init__(self, run: RunFolder, patience: int = 0) -> None:
        self.run = run
        evaluation = f"[eval]\nevery_epochs = 1.0\npatience = {patience}\n"
        run.begin(f"[train]\nbatch_size = 10\nepochs = 4.0\n{evaluation}", {})

    def trained(self, *steps: int) -> None:
        """Append training rows; a step takes 10 of 100 images."""
        self.run.append_metrics(
            {
                "kind": "train",
                "step": step,
                "images": 10 * step,
                "epoch": step / 10,
                "train_seconds": step / 2,
            }
            for step in steps
        )

    def evaluated(self, step: int, fd: float, best: bool, error: float = 0.1) -> None:
        row = {"kind": "eval", "step": step, "monitor": "fd", "fd": fd, "best": best}
        self.run.append_metrics([row | {"fd_stderr": error}])

    def saved(self, step: int) -> None:
        self.run.checkpoint_file(step).touch()

    @property
    def status(self) -> Status:
        status = self.run.status()
        assert status is not None
        return status


def test_an_old_run_that_made_all_steps_is_finished(run: RunFolder) -> None:
    old = Old(run)
    assert (old.status.state, old.status.share) == ("interrupted", 0)
    old.trained(10, 40)
    old.saved(40)
    assert old.status.state == "interrupted"  # its last evaluation is missing
    old.evaluated(40, 1.0, best=True)
    assert old.status == Status("finished", 40, 40, 20.0, 0, "", "", None)
    run.checkpoint_file(40).unlink()
    assert old.status.state == "interrupted"


def test_an_old_run_that_is_being_written_is_running(run: RunFolder) -> None:
    old = Old(run)
    old.trained(10)
    with run.locked():
        assert old.status.state == "running"
    assert (old.status.state, old.status.share) == ("interrupted", 0.25)
    assert old.status.message == "the process ended without writing its status"


def test_an_old_run_that_diverged(run: RunFolder) -> None:
    old = Old(run)
    old.trained(10)
    run.append_metrics([{"kind": "diverged", "step": 13, "what": "loss not finite at step 13"}])
    assert (old.status.state, old.status.step) == ("diverged", 13)
    assert old.status.message == "loss not finite at step 13"


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ([3.0, 2.0, 2.5], "interrupted"),  # one evaluation without improvement
        ([3.0, 2.0, 1.95], "interrupted"),
        ([2.0, 2.5, 2.4], "stopped_early"),  # never better than the first
        ([3.0, 2.95, 2.9], "stopped_early"),  # better by less than the standard error
        ([2.0, 3.0, 1.0], "interrupted"),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_patience_of_an_old_run_is_counted_from_its_rows(
    run: RunFolder, values: list[float], state: str, sign: int
) -> None:
    """Lower is better with sign 1, higher with sign -1."""
    old = Old(run, patience=2)
    for number, value in enumerate(values, start=1):
        old.trained(10 * number)
        old.evaluated(10 * number, sign * value, best=value == min(values[:number]))
    old.saved(30)
    assert old.status.state == state


def test_rows_of_older_versions_are_read(run: RunFolder) -> None:
    run.begin("", {})
    old = {"kind": "eval", "step": 1, "contract": {"features": "f", "protocol": 1}, "fd": 2.0}
    new = {"kind": "eval", "step": 1, "protocol": {"features": "f", "version": 1}, "fd": 2.0}
    run.append_metrics([old, new])
    assert run.metrics() == [new, new]
    run.forget_after(1)
    assert "contract" not in run.metrics_file.read_text()


def test_the_kernel_distance_of_older_rows_has_its_name(tmp_path: Path) -> None:
    """It was called kid with all features, which is the name for Inception's alone."""
    run = RunFolder(tmp_path)
    old = {"kind": "eval", "step": 1, "kid": 0.5, "kid_stderr": 0.1, "monitor": "kid"}
    new = {"kind": "eval", "step": 1, "kd": 0.5, "kd_stderr": 0.1, "monitor": "kd"}
    protocols = [{"protocol": {"features": name}} for name in ("classifier:digits", "inception")]
    run.append_metrics([old | protocol for protocol in protocols])
    assert run.metrics() == [new | protocols[0], old | protocols[1]]
