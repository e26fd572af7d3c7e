from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from d3gan.errors import UserError
from d3gan.runs import RunFolder
from d3gan.training.checkpoint import (
    BrokenCheckpoint,
    newest_checkpoint,
    read_checkpoint,
    save_checkpoint,
)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def test_round_trip(run: RunFolder) -> None:
    file = save_checkpoint(run, {"step": 3, "weights": {"w": torch.arange(4.0)}}, keep=1)
    saved = read_checkpoint(file)
    assert saved["step"] == 3
    assert torch.equal(saved["weights"]["w"], torch.arange(4.0))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_flipped_bit_changes_what_is_read(run: RunFolder, position: float, bit: int) -> None:
    weights = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    file = save_checkpoint(run, {"step": 1, "weights": weights}, keep=1)
    data = bytearray(file.read_bytes())
    data[int(position * len(data))] ^= 1 << bit
    file.write_bytes(data)
    try:
        saved = read_checkpoint(file)
    except BrokenCheckpoint:
        return
    assert torch.equal(saved["weights"], weights)  # the bit was in the padding


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_file_cut_short_is_broken(run: RunFolder, share: float) -> None:
    file = save_checkpoint(run, {"step": 1, "weights": torch.randn(1000)}, keep=1)
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    with pytest.raises(BrokenCheckpoint):
        read_checkpoint(file)


def test_code_in_a_checkpoint_is_not_run(run: RunFolder, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "executed",))

    file = run.checkpoint_file(1)
    file.parent.mkdir(parents=True)
    torch.save({"format": 1, "step": 1, "evil": Evil()}, file)
    with pytest.raises(BrokenCheckpoint):
        read_checkpoint(file)
    assert not (tmp_path / "executed").exists()


def test_another_program_s_file_is_no_checkpoint(run: RunFolder) -> None:
    run.checkpoints.mkdir(parents=True)
    torch.save({"state_dict": {}}, run.checkpoint_file(1))
    with pytest.raises(UserError, match=r"all checkpoints in .* are broken"):
        newest_checkpoint(run)


def test_none_is_no_error(run: RunFolder) -> None:
    assert newest_checkpoint(run) is None


def test_a_failed_write_keeps_what_was_there(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(run, {"step": 1}, keep=1)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        save_checkpoint(run, {"step": 2}, keep=1)
    assert [file.name for file in run.checkpoints.iterdir()] == ["step-00000001.pt"]
    saved = newest_checkpoint(run)
    assert saved is not None
    assert saved["step"] == 1
