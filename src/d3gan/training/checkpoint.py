"""Checkpoints: written completely or not at all, and verified when they are read."""

from pathlib import Path
from typing import Any, NamedTuple

from d3gan.errors import UserError
from d3gan.files import writing
from d3gan.messages import warn
from d3gan.runs import RunFolder, numbered
from d3gan.tensor_files import BrokenFile, read_tensors, write_tensors
from d3gan.training import distributed

FORMAT = 1

_CONTENT: dict[str, type | tuple[type, ...]] = {
    "step": int,
    "train_seconds": (int, float),
    "data_digest": str,
    **dict.fromkeys(("generator", "discriminators", "optimizer_g", "optimizer_d"), dict),
}
"""The keys that every checkpoint has, with the types of their values; later versions add others."""


class Checkpoint(NamedTuple):
    """A sound checkpoint."""

    file: Path
    content: dict[str, Any]
    """Its keys are described in docs/run-folder.md; tensors are on the CPU."""


def save_checkpoint(run: RunFolder, saved: dict[str, Any], keep: int) -> Path:
    """Write `saved` (with its "step") as the run's newest checkpoint, and delete all but `keep`.

    Raises UserError, without having deleted anything, if it cannot be written.
    """
    file = run.checkpoint_file(saved["step"])
    write_checkpoint(file, saved)
    with writing(file):
        for old in _newest_first(run)[keep:]:
            old.unlink()
    return file


def write_checkpoint(file: Path, saved: dict[str, Any]) -> None:
    """Write `saved` completely or not at all. Raises UserError."""
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(file, {"format": FORMAT, **saved})


def read_checkpoint(file: Path) -> dict[str, Any]:
    """Return the content of a checkpoint, with tensors on the CPU.

    Raises BrokenFile, and UserError if the system denies access to the file.
    """
    saved = read_tensors(file)
    if not isinstance(saved, dict) or saved.get("format") != FORMAT:
        raise BrokenFile(f"not a checkpoint of format {FORMAT}")
    for key, kind in _CONTENT.items():
        if not isinstance(saved.get(key), kind):
            raise BrokenFile(f"it lacks '{key}'")
    return saved


def newest_checkpoint(run: RunFolder) -> dict[str, Any] | None:
    """Return the content of `newest_sound`, or None if there is no checkpoint."""
    found = newest_sound(run)
    return found.content if found else None


def newest_sound(run: RunFolder) -> Checkpoint | None:
    """Return the newest sound checkpoint of a run, or None if the run has no checkpoint.

    If the newest one is broken, one line says which is used instead: best.pt or the newest sound
    one of the others, whichever is later. Raises UserError if all are broken.
    """
    broken: list[str] = []

    def sound(file: Path) -> Checkpoint | None:
        try:
            return Checkpoint(file, read_checkpoint(file))
        except BrokenFile as error:
            broken.append(f"{file} ({error})")
            return None

    files = _newest_first(run)
    found = next(filter(None, map(sound, files)), None)
    if (broken or not files) and run.best_file.exists():
        best = sound(run.best_file)
        if best and (found is None or best.content["step"] > found.content["step"]):
            found = best
    if found is None and broken:
        raise UserError(
            f"no checkpoint of the run {run.path} can be read; broken: {', '.join(broken)}; "
            "restore one from a copy, or train a new run"
        )
    if found and broken and distributed.is_main():
        what = "broken checkpoint" if len(broken) == 1 else "broken checkpoints"
        step = found.content["step"]
        warn(f"{what} {', '.join(broken)}; using {found.file} of step {step}")
    return found


def checkpoint_to_resume(run: RunFolder) -> dict[str, Any] | None:
    """Return the content of the main rank's `newest_sound`, on every rank.

    All ranks call this together; the others read the file that the main rank found to be sound.
    Raises UserError, on all ranks, if one of them cannot read it.
    """
    found: Checkpoint | None = None
    with distributed.raise_together():
        if distributed.is_main():
            found = newest_sound(run)
    name = distributed.from_main(lambda: found.file.name if found else None)
    with distributed.raise_together():
        if name is not None and not distributed.is_main():
            file = run.checkpoints / name
            try:
                found = Checkpoint(file, read_checkpoint(file))
            except BrokenFile as error:
                raise UserError(f"cannot read {file} ({error}), which rank 0 can read") from error
    return found.content if found else None


def _newest_first(run: RunFolder) -> list[Path]:
    return numbered(run.checkpoints, "pt")[::-1]
