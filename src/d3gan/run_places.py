"""What a path is that was given instead of a run folder, for a message that says what to write."""

from itertools import chain, islice
from pathlib import Path

from d3gan.errors import UserError
from d3gan.shell import command_line

CONFIG = "config.toml"
CHECKPOINTS, SAMPLES, METRICS = "checkpoints", "samples", "metrics.jsonl"
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
"""Usual endings of image files."""
NAMED_AT_MOST = 5
"""Number of runs of a folder that a message lists."""


def mistaken_for_run(path: Path, command: str) -> str | None:
    """Return what `path` is and what to write instead, if it belongs to a run or holds runs.

    `command` is the command of d3gan that wanted a run; "" in Python. Return None for any other
    path.
    """
    if path.is_dir():
        if path.name in (CHECKPOINTS, SAMPLES) and _is_run(path.parent):
            return f"{path} is a folder of the run {_write(path.parent, command)}"
        if runs := [folder for folder in sorted(path.iterdir()) if _is_run(folder)]:
            names = [run.name for run in runs[:NAMED_AT_MOST]]
            more = f" and {len(runs) - NAMED_AT_MOST} more" if len(runs) > NAMED_AT_MOST else ""
            return f"{path} is a folder of runs ({', '.join(names)}{more}), such as " + _write(
                runs[0], command
            )
        if (path / CHECKPOINTS).is_dir() or (path / METRICS).exists():
            return (
                f"the run {path} has lost its {CONFIG}; restore that file (each checkpoint of the "
                "run holds the same values under its key 'config')"
            )
        if command != "evaluate" and _holds_images(path):
            how = command_line("train", "PRESET", "--data.source", path)
            return f"{path} is a folder of images, not a run; to train on it: {how}"
        return None
    if not path.exists():
        return None
    if path.suffix == ".pt" and path.parent.name == CHECKPOINTS and _is_run(path.parent.parent):
        which = path.stem.removeprefix("step-").lstrip("0") or "0"
        chosen = which == "best" or which.isdecimal()
        options = ("--checkpoint", which) if chosen and command not in ("train", "report") else ()
        return f"{path} is a checkpoint of the run {_write(path.parent.parent, command, *options)}"
    if path.name != CONFIG and _is_run(path.parent):
        return f"{path} is a file of the run {_write(path.parent, command)}"
    if path.suffix == ".pt":
        return f"{path} is a file outside of a run; name a run folder, which holds a {CONFIG}"
    return None


def _holds_images(folder: Path) -> bool:
    """Return whether most files in a folder and the folders directly in it are images.

    Only the first thousand entries are looked at.
    """
    entries = islice(chain(folder.glob("*"), folder.glob("*/*")), 1000)
    endings = [entry.suffix.lower() for entry in entries if not entry.is_dir()]
    return 2 * sum(ending in IMAGES for ending in endings) > len(endings)


def check_initial(word: str) -> None:
    """Raise UserError, before long work, if `model.init_from` names nothing that holds weights."""
    path = Path(word).expanduser()
    is_file = path.suffix in (".pt", ".safetensors")
    if word.startswith("hf://") or (path.is_file() if is_file else _is_run(path)):
        return
    what = "there is no such file" if is_file else f"there is no run at {path}"
    raise UserError(
        f"model.init_from = {word!r}: {what}; must be a run, a checkpoint (.pt) or an export "
        "(.safetensors)"
    )


def _is_run(folder: Path) -> bool:
    return (folder / CONFIG).is_file()


def _write(run: Path, command: str, *options: str) -> str:
    if command:
        return f"{run}; write `{command_line(command, run, *options)}`"
    which = f", and its checkpoint {options[-1]!r}" if options else ""
    return f"{run}; name that folder{which}"
