from pathlib import Path

from tests.report.made_up import run_folder

from d3gan.report.summary import summary, summary_table
from d3gan.run_status import Status


def test_a_summary_covers_all_steps(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "a", range(1))
    row = {"kind": "train", "loss_d": [1.0], "loss_g": 2.0}
    run.append_metrics(
        row | {"step": step, "images": 4 * step, "train_seconds": step / 10} for step in (1, 2)
    )
    assert summary(run) == {
        "name": "a",
        "discriminators": 1,
        "steps": 2,
        "images": 8,
        "train_seconds": 0.2,
        "images_per_second": 40.0,
        "loss_d": 1.0,
        "loss_g": 2.0,
        "best": None,
    }
    assert summary_table([run]).row_count == 1
    evaluated = {"kind": "eval", "step": 2, "monitor": "fd", "fd_stderr": 0.1}
    run.append_metrics(
        evaluated | {"fd": fd, "best": best} for fd, best in ((3.0, True), (4.0, False))
    )
    assert summary(run)["best"] == {
        "step": 2,
        "metric": "fd",
        "fd": 3.0,
        "fd_stderr": 0.1,
        "draws": 0,
    }
    measured = {"kind": "report", "step": 2, "monitor": "fd", "fd": 3.4, "fd_stderr": 0.2}
    run.append_metrics([measured | {"draws": 3}])
    assert summary(run)["best"] == {
        "step": 2,
        "metric": "fd",
        "fd": 3.4,
        "fd_stderr": 0.2,
        "draws": 3,
    }


def test_lost_rows_do_not_shorten_the_run(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "a", range(1))
    run.write_status(Status("finished", 4, 4, 2.0, 1, "here", "", None))
    run.append_metrics([{"kind": "train", "step": 2, "loss_d": [1.0], "loss_g": 2.0}])
    found = summary(run)
    assert (found["steps"], found["train_seconds"], found["loss_g"]) == (4, 2.0, 2.0)
    run.metrics_file.unlink()
    found = summary(run)
    assert (found["steps"], found["loss_d"], found["loss_g"]) == (4, None, None)
    assert summary_table([run]).row_count == 1
