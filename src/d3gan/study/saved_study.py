"""The file study.json beside a study's runs: what the study asks, and which runs belong to it."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from d3gan.errors import UserError
from d3gan.files import write_text, writing
from d3gan.runs import RunFolder
from d3gan.study.plan import Study
from d3gan.study.question import FILE, Question
from d3gan.study.question_keys import KEYS, make_question

VERSION = 1
"""Version of the file's format."""
_FIXED = ("baseline", "metric", "primary", "pilot_seeds", "targets", "clocks", "margin")
"""Fields of a question that must be fixed before the runs are judged by it."""


@dataclass(frozen=True)
class SavedStudy:
    """The content of study.json."""

    name: str
    question: Question
    runs: tuple[str, ...]
    """Names of the planned runs, in the order of the study; pilot runs first."""
    changed: tuple[str, ...] = ()
    """Fields of the question that changed after runs existed, so that they were not fixed
    beforehand."""

    def folders(self, folder: Path) -> list[RunFolder]:
        """Return the planned runs in the folder of the study, trained or not."""
        return [RunFolder(folder / name) for name in self.runs]

    def warnings(self, folder: Path) -> list[str]:
        """Return texts about fields that changed, and about other runs in the study's folder."""
        found = []
        if self.changed:
            found.append(
                f"{_listed(self.changed)} of the study changed after runs existed, so the "
                "question was not fixed beforehand"
            )
        others = [run.path.name for run in runs_in(folder) if run.path.name not in self.runs]
        if others:
            found.append(
                f"runs in {folder} that are not of the study are ignored: " + ", ".join(others)
            )
        return found


def runs_in(folder: Path) -> list[RunFolder]:
    """Return the runs in a folder, by name."""
    inside = [RunFolder(path) for path in sorted(folder.iterdir())] if folder.is_dir() else []
    return [run for run in inside if run.exists()]


def save(study: Study) -> SavedStudy:
    """Write study.json into the folder of the study's runs, and return its content.

    It replaces the file of an earlier version of the study. Raises UserError if that is damaged, or
    if the file cannot be written.
    """
    before = load(study.out_dir)
    changed: tuple[str, ...] = ()
    if before and any(run.exists() for run in before.folders(study.out_dir)):
        changed = tuple(
            key
            for key in _FIXED
            if key in before.changed
            or getattr(before.question, key) != getattr(study.question, key)
        )
    saved = SavedStudy(study.name, study.question, tuple(r.name for r in study.runs), changed)
    if saved != before:
        text = json.dumps({"version": VERSION, **dataclasses.asdict(saved)}, indent=2)
        with writing(study.out_dir):
            study.out_dir.mkdir(parents=True, exist_ok=True)
            write_text(study.out_dir / FILE, text + "\n")
    return saved


def load(folder: Path) -> SavedStudy | None:
    """Return the content of a folder's study.json; None if there is none.

    Raises UserError if the file is damaged, or was written by a later version.
    """
    file = folder / FILE
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        values = json.loads(text)
        if not isinstance(values, dict):
            raise UserError("must be an object")
        if values.get("version") != VERSION:
            raise UserError(f"version = {values.get('version')!r}: this program reads {VERSION}")
        return SavedStudy(
            name=str(values["name"]),
            question=_question(values["question"]),
            runs=_names(values["runs"], "runs"),
            changed=_names(values["changed"], "changed"),
        )
    except KeyError as error:
        raise _damaged(file, f"lacks {error}") from error
    except (json.JSONDecodeError, UserError) as error:
        raise _damaged(file, str(error)) from error


def _question(values: Any) -> Question:
    if not isinstance(values, Mapping):
        raise UserError(f"question = {values!r}: must be an object")
    missing = [key for key in (*KEYS, "vary") if key not in values]
    if missing:
        raise KeyError(f"question.{missing[0]}")
    question = make_question(values, "question.")
    return dataclasses.replace(question, vary=_names(values["vary"], "question.vary"))


def _names(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise UserError(f"{where} = {value!r}: must be a list of names")
    return tuple(value)


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _damaged(file: Path, why: str) -> UserError:
    return UserError(f"{file} is damaged ({why}); repair it, or restore it from a copy")
