"""Writing files completely or not at all."""

import os
import stat
import sys
from pathlib import Path

import pytest

from d3gan.errors import UserError
from d3gan.files import write_bytes, write_text, writing


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    for text in ("one", "zwölf"):
        write_text(file, text)
        assert file.read_text(encoding="utf-8") == text
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no mode")
@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_a_file_has_the_mode_that_the_umask_leaves(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_bytes(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("flush", [True, False])
def test_a_failure_keeps_the_file_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flush: bool
) -> None:
    file = tmp_path / "a"
    write_bytes(file, b"before")

    def fail(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        write_bytes(file, b"after", flush=flush)
    assert file.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [file]


def test_file_and_folder_are_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file before its renaming, the folder after it."""
    fsync, flushed = os.fsync, []

    def recorded(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        flushed.append(("folder" if is_folder else "file", (tmp_path / "a").exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    write_bytes(tmp_path / "a", b"x")
    assert flushed == [("file", False), ("folder", True)]
    write_bytes(tmp_path / "a", b"y", flush=False)
    assert len(flushed) == 2


def test_a_platform_that_cannot_open_folders_still_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: object, flags: int) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refused)
    write_bytes(tmp_path / "a", b"x")
    assert (tmp_path / "a").read_bytes() == b"x"


def test_refused_writing_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught, writing(tmp_path):
        raise OSError(28, "No space left on device")
    assert str(caught.value) == (
        f"cannot write to {tmp_path}: No space left on device; free some space or choose another "
        "place; what was written before is kept"
    )
