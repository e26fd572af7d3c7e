"""What the cache folder holds, and deleting it; files that d3gan does not write are left alone."""

import json
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from d3gan.files import is_shared

OLD_FILES = {"labels.npy", "source-labels.npy", "skipped.json", "resized.json", "each-resized.npy"}
"""Files of an entry that versions before the checksum wrote."""

ENTRY_FILES = OLD_FILES | {"images.npy", "facts.npz", "entry.json", "decoded.npy", "decoding.npy"}
STORED_FILES = {"pixels.bin", "shapes.npy", "labels.npy", "facts.json"}

SECONDS_PER_DAY = 86_400
UNFINISHED = "unfinished"
IN_MEMORY = "in-memory"
"""Images given from Python, which only the program that gave them can give again."""

STALE_SECONDS = 3_600
"""Age at which a temporary file without a lock belongs to no running process."""


class Stored(NamedTuple):
    """A file or a folder of the cache."""

    kind: str
    path: Path
    size_bytes: int
    last_used: float
    """Seconds since 1970."""
    lock: Path | None = None
    """Lock of the process that writes it."""
    source: str = ""
    split: str = ""
    shape: tuple[int, ...] = ()
    """[M, C, H, W] of decoded images."""

    @property
    def days_unused(self) -> float:
        return (time.time() - self.last_used) / SECONDS_PER_DAY


class _Kind(NamedTuple):
    """Where the cache keeps things of one kind."""

    folder: str
    name: str
    """Regular expression."""
    files: frozenset[str] = frozenset()
    """Names of the files, if such a thing is a folder."""
    has_lock: bool = True
    """Whether a file NAME.lock is locked while it is written."""


KINDS = {
    "images": _Kind("images", r"[0-9a-f]{32}", frozenset(ENTRY_FILES)),
    IN_MEMORY: _Kind("in-memory", r"[0-9a-f]{16}", frozenset(STORED_FILES), has_lock=False),
    "classifiers": _Kind("classifiers", r"[0-9a-f]{32}\.pt"),
    "statistics": _Kind("statistics", r"[0-9a-f]{32}\.pt"),
    "weights": _Kind("weights", r"pt_inception-[\w.-]+\.pth"),
    "kernels": _Kind("kernels", r"[0-9a-f]{16}\.json"),
    "digests": _Kind("digests", r"[0-9a-f]{32}", has_lock=False),
}
"""Kinds of things in the cache, by the name that the command line gives them."""

ALL_KINDS = (*KINDS, UNFINISHED)


def contents(cache: Path) -> list[Stored]:
    """Return what the cache folder holds, by kind; the least recently used things last."""
    found = [stored for name, kind in KINDS.items() for stored in _of_kind(cache, name, kind)]
    return sorted(found, key=lambda stored: (ALL_KINDS.index(stored.kind), -stored.last_used))


def is_in_use(stored: Stored) -> bool:
    """Return whether a running process writes it, or has its images in memory."""
    if stored.kind == UNFINISHED and stored.lock is None:
        return time.time() - stored.last_used < STALE_SECONDS
    if is_shared(stored.path / "images.npy"):
        return True
    if stored.lock is None or not stored.lock.exists():
        return False
    try:
        with _locked(stored):
            return False
    except Timeout:
        return True


def delete(chosen: Iterable[Stored]) -> tuple[list[Stored], list[Stored]]:
    """Delete things of the cache; return those that were deleted, and those that are in use.

    A folder that also holds files of others is left with these. Raises OSError.
    """
    deleted: list[Stored] = []
    kept: list[Stored] = []
    for stored in chosen:
        try:
            in_use = is_in_use(stored)
            if not in_use:
                with _locked(stored):
                    _delete(stored)
        except (Timeout, PermissionError):  # Windows deletes no open file
            in_use = True
        (kept if in_use else deleted).append(stored)
    return deleted, kept


@contextmanager
def _locked(stored: Stored) -> Iterator[None]:
    """Hold the thing's lock. Raises Timeout if another process does."""
    with FileLock(stored.lock, timeout=0) if stored.lock else nullcontext():
        yield


def _of_kind(cache: Path, name: str, kind: _Kind) -> Iterator[Stored]:
    folder = cache / kind.folder
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        unfinished = re.fullmatch(rf"\.?({kind.name})?\.?\d+\.tmp", path.name)
        whole = re.fullmatch(kind.name, path.name)
        if path.is_symlink() or not (whole or unfinished) or path.is_dir() != bool(kind.files):
            continue
        finished = path.name if whole else (unfinished[1] if unfinished else None)
        lock = folder / f"{finished}.lock" if kind.has_lock and finished else None
        files = [path]
        if kind.files:
            files = [path / name for name in sorted(kind.files) if (path / name).is_file()]
        with suppress(OSError):  # deleted meanwhile
            if files or unfinished:
                yield _stored(name if whole else UNFINISHED, path, lock, files)


def _stored(kind: str, path: Path, lock: Path | None, files: list[Path]) -> Stored:
    described = path / "entry.json"
    dated = [described] if described in files else [path, *files]
    stored = Stored(
        kind,
        path,
        sum(file.stat().st_size for file in files),
        max(file.stat().st_mtime for file in dated),
        lock,
    )
    try:
        facts = json.loads(described.read_text(encoding="utf-8"))
        shape = tuple(int(side) for side in facts["shape"])
        return stored._replace(source=str(facts["source"]), split=str(facts["split"]), shape=shape)
    except (OSError, ValueError, KeyError, TypeError):  # another kind, or damaged
        return stored


def _delete(stored: Stored) -> None:
    if not stored.path.is_dir():
        stored.path.unlink(missing_ok=True)
        return
    # The largest first: Windows refuses to delete what is in use, and the rest is kept.
    largest = ("images.npy", "pixels.bin")
    for name in sorted(ENTRY_FILES | STORED_FILES, key=lambda name: name not in largest):
        (stored.path / name).unlink(missing_ok=True)
    with suppress(OSError):  # files of others are left in it
        stored.path.rmdir()
