from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.program import run_code

from d3gan.errors import UserError
from d3gan.images import grid
from d3gan.report.pictures import (
    animation,
    corner,
    shared_sheets,
    side_by_side,
)
from d3gan.report.summary import summary, summary_table
from d3gan.runs import RunFolder


def run_folder(path: Path, steps: Iterable[int], mode: str = "L", batch_size: int = 4) -> RunFolder:
    run = RunFolder(path)
    with run.locked():
        run.begin(f"[train]\nbatch_size = {batch_size}\n", {})
    for step in steps:
        Image.new(mode, (300, 200), step).save(run.sample_file(step))
    return run


def test_an_animation_shows_the_steps_that_all_runs_have(tmp_path: Path) -> None:
    runs = [run_folder(tmp_path / "a", range(5)), run_folder(tmp_path / "b", range(2, 9))]
    animation(runs, ["one", "two"], tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 3
        assert film.info["loop"] == 0
        assert film.size[0] > 600
    with pytest.raises(UserError, match="share no sample step"):
        animation(
            [runs[0], run_folder(tmp_path / "c", range(7, 9))], ["a", "c"], tmp_path / "no.gif"
        )
    assert not (tmp_path / "no.gif").exists()


def test_runs_of_other_batch_sizes_are_shown_at_equal_images(tmp_path: Path) -> None:
    runs = [run_folder(tmp_path / "a", range(5)), run_folder(tmp_path / "b", range(3), "L", 8)]
    assert list(shared_sheets(runs)) == [0, 8, 16]
    animation(runs, ["one", "two"], tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 3


def test_moments_that_differ_by_less_than_a_step_are_the_same(tmp_path: Path) -> None:
    # The one stops at 4, 8 ... images, the other at 1,000 times as many, and 3 more.
    runs = [
        run_folder(tmp_path / "a", [1000, 2000]),
        run_folder(tmp_path / "b", [1003, 2003, 3003]),
    ]
    assert list(shared_sheets(runs)) == [4000, 8000]
    assert [file.name for file in shared_sheets(runs)[8000]] == [
        "step-00002000.png", "step-00002003.png",
    ]  # fmt: skip
    assert list(shared_sheets([runs[0], run_folder(tmp_path / "c", [1100])])) == []


def test_sheets_stand_in_rows_under_a_heading() -> None:
    sheets = [Image.new("L", (40, 30), 10 * i) for i in range(1, 6)]
    plain = side_by_side(sheets, [""] * 5, columns=2)
    headed = side_by_side(sheets, ["a caption far too long for so small a sheet"] * 5, columns=2,
                          heading="1,000 images")  # fmt: skip
    assert headed.width == plain.width < 3 * 40
    assert headed.height > plain.height > 3 * 30
    for i in range(1, 6):
        assert (np.asarray(headed) == 10 * i).sum() >= 40 * 30


def test_the_corner_of_a_grid_holds_whole_images() -> None:
    sheet = grid(np.zeros((12, 1, 6, 6), np.uint8))  # 4 across, 3 down
    assert corner(sheet, 6, 2).size == (18, 18)
    assert corner(sheet, 6, 8).size == sheet.size
    assert corner(sheet, 100, 2).size == sheet.size


def test_sheets_stand_side_by_side_under_their_captions() -> None:
    sheets = [Image.new("L", (40, 30), value) for value in (10, 90)]
    page = np.asarray(side_by_side(sheets, ["a", "b"]))
    for value in (10, 90):
        rows, columns = np.nonzero(page == value)
        assert len(rows) >= 40 * 30
        assert columns.max() - columns.min() + 1 >= 40
    assert page[:20].min() < 128, "there is text"
    colour = side_by_side([Image.new("RGB", (4, 4)), Image.new("L", (4, 4))], ["a", "b"])
    assert colour.mode == "RGB"


def test_a_summary_is_of_the_whole_run(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "a", range(1))
    row = {"kind": "train", "loss_d": [0.5, 1.5], "loss_g": 2.0}
    run.append_metrics(
        row | {"step": step, "images": 4 * step, "train_seconds": step / 10} for step in (1, 2)
    )
    assert summary(run) == {
        "name": "a",
        "discriminators": 2,
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
    assert summary(run)["best"] == {"step": 2, "metric": "fd", "fd": 3.0, "fd_stderr": 0.1}


def test_a_report_needs_no_torch() -> None:
    code = (
        "import sys; import d3gan, d3gan.report.page, d3gan.report.summary;"
        "assert 'torch' not in sys.modules"
    )
    run_code(code).check_returncode()
