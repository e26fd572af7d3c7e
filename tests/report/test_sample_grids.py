from pathlib import Path

import pytest
from PIL import Image
from tests.report.made_up import run_folder

from d3gan.errors import UserError
from d3gan.report.sample_grids import animation, shared_sheets


def test_an_animation_shows_the_steps_that_all_runs_have(tmp_path: Path) -> None:
    runs = [run_folder(tmp_path / "a", range(5)), run_folder(tmp_path / "b", range(2, 9))]
    animation(runs, ["one", "two"], tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 3
        assert film.info["loop"] == 0
        assert film.size[0] > 600
    with pytest.raises(UserError, match="share no sample grid"):
        animation(
            [runs[0], run_folder(tmp_path / "c", range(7, 9))], ["a", "c"], tmp_path / "no.gif"
        )
    assert not (tmp_path / "no.gif").exists()


def test_runs_with_different_batch_sizes_are_shown_at_equal_images(tmp_path: Path) -> None:
    runs = [run_folder(tmp_path / "a", range(5)), run_folder(tmp_path / "b", range(3), "L", 8)]
    assert list(shared_sheets(runs)) == [0, 8, 16]
    animation(runs, ["one", "two"], tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 3


def test_moments_that_differ_by_less_than_a_step_are_the_same(tmp_path: Path) -> None:
    # One run has samples at 4,000 and 8,000 images, the other 12 images later.
    runs = [
        run_folder(tmp_path / "a", [1000, 2000]),
        run_folder(tmp_path / "b", [1003, 2003, 3003]),
    ]
    assert list(shared_sheets(runs)) == [4000, 8000]
    assert [file.name for file in shared_sheets(runs)[8000]] == [
        "step-00002000.png", "step-00002003.png",
    ]  # fmt: skip
    assert list(shared_sheets([runs[0], run_folder(tmp_path / "c", [1100])])) == []
