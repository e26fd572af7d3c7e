import json
from pathlib import Path

import pytest

from d3gan.errors import UserError
from d3gan.runs import RunFolder, step_of, writing


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def test_a_run_begins_and_goes_on(run: RunFolder) -> None:
    with run.locked():
        run.begin('name = "x"\n', {"torch": "1"})
        run.begin('name = "x"\n', {"torch": "2"})
    assert run.exists()
    assert run.config() == {"name": "x"}
    assert run.sessions() == [{"torch": "1"}, {"torch": "2"}]


def test_rows_past_a_step_are_forgotten_with_their_pictures(run: RunFolder) -> None:
    run.begin("", {})
    run.append_metrics({"kind": "train", "step": step} for step in (1, 2))
    run.append_metrics([{"kind": "train", "step": 3}])
    for step in (0, 2, 3):
        run.sample_file(step).touch()
    run.forget_after(2)
    assert [row["step"] for row in run.metrics()] == [1, 2]
    assert sorted(map(step_of, run.samples.iterdir())) == [0, 2]


def test_metrics_are_strict_json(run: RunFolder) -> None:
    run.begin("", {})
    with pytest.raises(ValueError, match="Out of range float"):
        run.append_metrics([{"kind": "train", "step": 1, "loss_g": float("nan")}])
    assert run.metrics() == []
    row = {"kind": "train", "step": 1, "loss_g": 0.5}
    run.append_metrics([row])
    assert json.loads(run.metrics_file.read_text()) == row


def test_damage_is_named(run: RunFolder) -> None:
    run.begin("", {})
    row = '{"kind": "train", "step": 1}\n'
    for damage in ("nonsense", "{}", "[1]"):
        run.metrics_file.write_text(f"{row}{damage}\n{row}")
        with pytest.raises(UserError, match=r"metrics\.jsonl line 2 is damaged"):
            run.metrics()
    run.metrics_file.write_text(f"{row}nonsense\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl line 2 is damaged .*; mend or remove it"):
        run.metrics()
    run.environment_file.write_text("[")
    with pytest.raises(UserError, match=r"environment\.json is damaged"):
        run.sessions()


def test_a_folder_is_locked_against_others_and_vanishes_if_unused(run: RunFolder) -> None:
    with run.locked(), pytest.raises(UserError, match="another process is writing"), run.locked():
        pass
    assert not run.path.exists()


def test_no_run_is_named(run: RunFolder) -> None:
    with pytest.raises(UserError, match="there is no run at"):
        run.config()


def test_refused_writing_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught, writing(tmp_path):
        raise OSError(28, "No space left on device")
    assert str(caught.value) == (
        f"cannot write to {tmp_path}: No space left on device; make room or choose another place; "
        "what was written before is kept"
    )
