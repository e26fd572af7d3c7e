"""Checkpoints: written completely or not at all, and verified when they are read."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from d3gan.config import Config, from_dict, refuse_changes
from d3gan.errors import UserError
from d3gan.files import writing
from d3gan.messages import warn
from d3gan.runs import RunFolder, numbered
from d3gan.tensor_files import BrokenFile, read_tensors, write_tensors
from d3gan.training import distributed

FORMAT = 1


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
    """Return the content of a checkpoint, with tensors on the CPU. Raises BrokenFile."""
    saved = read_tensors(file)
    if not isinstance(saved, dict) or saved.get("format") != FORMAT or "step" not in saved:
        raise BrokenFile(f"not a checkpoint of format {FORMAT}")
    return saved


def newest_checkpoint(run: RunFolder) -> dict[str, Any] | None:
    """Return the content of the newest sound checkpoint, or None if there is no checkpoint.

    Broken ones are skipped with a warning. Raises UserError if all are broken.
    """
    files = _newest_first(run)
    for file in files:
        try:
            return read_checkpoint(file)
        except BrokenFile as error:
            if distributed.is_main():
                warn(f"broken checkpoint {file} ({error})")
    if files:
        raise UserError(f"all checkpoints in {run.checkpoints} are broken; retrain the run")
    return None


def checkpoint_to_resume(run: RunFolder) -> dict[str, Any] | None:
    """Return what `newest_checkpoint` returns on the main rank, on every rank.

    All ranks call this together; the others read the file that the main rank found to be sound.
    Raises UserError, on all ranks, if one of them cannot read it.
    """
    saved: dict[str, Any] | None = None
    with distributed.raise_together():
        if distributed.is_main():
            saved = newest_checkpoint(run)
    step = distributed.from_main(lambda: saved["step"] if saved else None)
    with distributed.raise_together():
        if step is not None and not distributed.is_main():
            file = run.checkpoint_file(step)
            try:
                saved = read_checkpoint(file)
            except BrokenFile as error:
                raise UserError(f"cannot read {file} ({error}), which rank 0 can read") from error
    return saved


def check_same_run(config: Config, saved: Mapping[str, Any], data_digest: str) -> None:
    """Raise UserError if the checkpoint was saved with other images or another configuration."""
    if saved["data_digest"] != data_digest:
        raise UserError(
            f"the images of {config.data.source} have changed since {config.run_dir} was saved; "
            "restore them, or start a new run with another --name"
        )
    if "config" in saved:  # older versions did not save it
        trained = from_dict(saved["config"])
        # The folder may have been moved or renamed.
        refuse_changes(replace(trained, name=config.name, out_dir=config.out_dir), config)


def _newest_first(run: RunFolder) -> list[Path]:
    return numbered(run.checkpoints, "pt")[::-1]
