from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.program import group, weights

from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.runs import RunFolder
from d3gan.tensor_files import BrokenFile
from d3gan.training.checkpoint import (
    newest_checkpoint,
    newest_sound,
    read_checkpoint,
    save_checkpoint,
    write_checkpoint,
)
from d3gan.training.trainer import train


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def content(step: int, **more: object) -> dict[str, object]:
    """Return the content of a checkpoint without weights."""
    parts = ("generator", "discriminators", "optimizer_g", "optimizer_d")
    common = {"step": step, "train_seconds": 0.0, "data_digest": "", **{p: {} for p in parts}}
    return common | more


def test_round_trip(run: RunFolder) -> None:
    file = save_checkpoint(run, content(3, weights={"w": torch.arange(4.0)}), keep=1)
    saved = read_checkpoint(file)
    assert saved["step"] == 3
    assert torch.equal(saved["weights"]["w"], torch.arange(4.0))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_noticed_or_without_effect(
    run: RunFolder, position: float, bit: int
) -> None:
    weights = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    file = save_checkpoint(run, content(1, weights=weights), keep=1)
    data = bytearray(file.read_bytes())
    data[int(position * len(data))] ^= 1 << bit
    file.write_bytes(data)
    try:
        saved = read_checkpoint(file)
    except BrokenFile:
        return
    assert torch.equal(saved["weights"], weights)  # the bit was in the padding


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_broken(run: RunFolder, share: float) -> None:
    file = save_checkpoint(run, content(1, weights=torch.randn(1000)), keep=1)
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    with pytest.raises(BrokenFile):
        read_checkpoint(file)


def test_code_in_a_checkpoint_is_not_run(run: RunFolder, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "executed",))

    file = run.checkpoint_file(1)
    file.parent.mkdir(parents=True)
    torch.save({"format": 1, "step": 1, "evil": Evil()}, file)
    with pytest.raises(BrokenFile, match="objects other than tensors and plain values") as caught:
        read_checkpoint(file)
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "executed").exists()


def test_a_file_of_another_program_is_not_a_checkpoint(run: RunFolder) -> None:
    run.checkpoints.mkdir(parents=True)
    torch.save({"state_dict": {}}, run.checkpoint_file(1))
    with pytest.raises(UserError, match=r"no checkpoint of the run .* can be read"):
        newest_checkpoint(run)


def broken(file: Path) -> Path:
    file.write_bytes(file.read_bytes()[:-30])
    return file


def test_a_sound_older_checkpoint_or_the_best_one_is_used(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [save_checkpoint(run, content(step), keep=9) for step in (1, 3, 5)]
    write_checkpoint(run.best_file, content(2))
    broken(files[2])
    found = newest_sound(run)
    assert found is not None
    assert found.file == files[1]
    line = capsys.readouterr().err.strip()
    assert line.startswith(f"d3gan: warning: broken checkpoint {files[2]} (")
    assert line.endswith(f"; using {files[1]} of step 3")
    broken(files[1])
    found = newest_sound(run)
    assert found is not None
    assert (found.file, found.content["step"]) == (run.best_file, 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert f"; using {run.best_file} of step 2" in line
    for file in (*files, run.best_file):
        broken(file)
    with pytest.raises(UserError, match=r"no checkpoint of the run .* can be read; broken: .*best"):
        newest_sound(run)
    for file in files:
        file.unlink()
    write_checkpoint(run.best_file, content(2))
    assert newest_checkpoint(run) == read_checkpoint(run.best_file)


@pytest.mark.parametrize("key", ["step", "generator", "optimizer_d", "data_digest"])
def test_a_checkpoint_without_its_keys_is_broken(run: RunFolder, key: str) -> None:
    file = save_checkpoint(run, content(1), keep=1)
    saved = content(1)
    del saved[key]
    write_checkpoint(file, saved)
    with pytest.raises(BrokenFile, match=f"it lacks '{key}'"):
        read_checkpoint(file)


def test_a_checkpoint_without_permission_is_not_called_broken(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = save_checkpoint(run, content(1), keep=1)

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    for read in (lambda: read_checkpoint(file), lambda: newest_checkpoint(run)):
        with pytest.raises(UserError, match=f"^cannot read {file}: Permission denied$"):
            read()


def test_a_run_without_checkpoints_has_none(run: RunFolder) -> None:
    assert newest_checkpoint(run) is None


def test_a_failed_write_keeps_the_checkpoints_before(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(run, content(1), keep=1)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        save_checkpoint(run, content(2), keep=1)
    assert [file.name for file in run.checkpoints.iterdir()] == ["step-00000001.pt"]
    saved = newest_checkpoint(run)
    assert saved is not None
    assert saved["step"] == 1


UNREADABLE = """
import sys
from d3gan.training import checkpoint, distributed
read = checkpoint.read_checkpoint
def reading(file):
    if distributed.rank() == {rank} and file.name == "step-00000010.pt":
        raise checkpoint.BrokenFile("as if damaged")
    return read(file)
checkpoint.read_checkpoint = reading
from d3gan.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("rank", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_all_ranks_resume_from_the_checkpoint_of_the_main_one(tiny: Config, rank: int) -> None:
    run = train(tiny)
    before = weights(run.path)
    ends = group(UNREADABLE.format(rank=rank), "train", run.path)
    errors = ends[0].stderr
    if rank == 0:  # both resume from step 5
        assert [end.returncode for end in ends] == [0, 0], errors
        assert (run.checkpoints / "step-00000010.pt.broken").exists()
        after = weights(run.path)
        for name, tensor in before.items():
            torch.testing.assert_close(after[name], tensor)
    else:
        assert [end.returncode for end in ends] == [2, 2], errors
        assert "which rank 0 can read (on rank 1)" in errors
