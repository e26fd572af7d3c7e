"""What a path is that is not a run, as Python and each command say it."""

from pathlib import Path

import pytest

from d3gan.errors import UserError
from d3gan.run_places import check_initial, mistaken_for_run
from d3gan.runs import RunFolder
from d3gan.shell import command_line


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Folder `runs/a` with a checkpoint."""
    folder = RunFolder(tmp_path / "runs" / "a")
    folder.begin("", {})
    folder.checkpoint_file(400).touch()
    folder.initial_file.touch()
    return folder.path


def test_python_is_told_the_folder_and_the_checkpoint(run: Path) -> None:
    file = RunFolder(run).checkpoint_file(400)
    with pytest.raises(UserError, match=f"{file} is a checkpoint of the run {run}; name"):
        RunFolder(file).require()
    assert str(mistaken_for_run(file, "")).endswith("name that folder, and its checkpoint '400'")
    found = str(mistaken_for_run(run.parent, ""))
    assert found == f"{run.parent} is a folder of runs (a), such as {run}; name that folder"


@pytest.mark.parametrize("command", ["train", "report"])
def test_some_commands_take_no_checkpoint(run: Path, command: str) -> None:
    file = RunFolder(run).checkpoint_file(400)
    assert str(mistaken_for_run(file, command)).endswith(f"; write `d3gan {command} {run}`")


def test_weights_of_the_start_are_no_checkpoint_to_choose(run: Path) -> None:
    found = str(mistaken_for_run(RunFolder(run).initial_file, "sample"))
    assert found.endswith(f"; write `d3gan sample {run}`")


def test_only_some_of_many_runs_are_listed(tmp_path: Path) -> None:
    for number in range(7):
        RunFolder(tmp_path / f"r{number}").begin("", {})
    assert "(r0, r1, r2, r3, r4 and 2 more)" in str(mistaken_for_run(tmp_path, "sample"))


def test_a_folder_of_images_is_what_one_trains_on(tmp_path: Path) -> None:
    for name in ("a.PNG", "cats/b.jpg"):
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    folder = tmp_path / "photos"
    for command in ("train", "report", "sample", ""):
        found = str(mistaken_for_run(folder, command))
        assert found.startswith(f"{folder} is a folder of images, not a run; to train on it: ")
        assert found.endswith(command_line("train", "PRESET", "--data.source", folder))
    assert mistaken_for_run(folder, "evaluate") is None  # it evaluates images
    for number in range(2):
        (folder / f"{number}.txt").touch()
    assert mistaken_for_run(folder, "train") is None


def test_other_paths_belong_to_no_run(run: Path, tmp_path: Path) -> None:
    assert mistaken_for_run(tmp_path / "nothing", "sample") is None
    assert mistaken_for_run(tmp_path, "sample") is None
    assert mistaken_for_run(run / "config.toml", "train") is None


def test_a_warm_start_needs_weights(run: Path, tmp_path: Path) -> None:
    for path in (run, RunFolder(run).checkpoint_file(400), "hf://owner/name"):
        check_initial(str(path))
    for path in (tmp_path, tmp_path / "x.pt", tmp_path / "x.safetensors"):
        with pytest.raises(UserError, match="must be a run, a checkpoint"):
            check_initial(str(path))
