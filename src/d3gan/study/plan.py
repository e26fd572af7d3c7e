"""A study: methods times variations times seeds, as planned runs, some of which may exist."""

import dataclasses
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from d3gan import config as configs
from d3gan import config_files
from d3gan.config import Config, DataConfig
from d3gan.data.cache import check_enough, load_images
from d3gan.errors import UserError
from d3gan.runs import RunFolder
from d3gan.study.question import Question


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study: a method with one seed."""

    method: str
    """Name of the method with its varied values; runs that differ only in the seed share it."""
    config: Config
    pilot: bool = False
    """Whether it only fixes the targets, and is not judged."""

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.config.run_dir)

    @property
    def log(self) -> Path:
        """File with the output of its processes."""
        return Path(self.config.out_dir) / "logs" / f"{self.name}.log"

    @property
    def plan_file(self) -> Path:
        """Configuration file from which it is started."""
        return Path(self.config.out_dir) / "plans" / f"{self.name}.toml"


@dataclass(frozen=True)
class Study:
    """Runs to compare. All of them are valid, and their names are unique."""

    name: str
    runs: tuple[PlannedRun, ...]
    """Pilot runs come first."""
    out_dir: Path
    question: Question
    """How the runs are judged; the baseline and the primary comparison have names."""
    slurm: dict[str, Any]
    """Parameters of the jobs for --launcher slurm."""

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(run.method for run in self.runs))


def changes(run: PlannedRun) -> dict[str, Any]:
    """Return the keys that an existing run must change to become the planned one, and their values.

    Raises UserError, naming the key, if it cannot become the planned one.
    """
    old, _ = config_files.starting_point(str(run.folder.path))
    # Both folders are the same, even if their paths are written differently.
    old = dataclasses.replace(old, name=run.name, out_dir=run.config.out_dir)
    changed = configs.changes(old, run.config)
    for key, (before, after) in changed.items():
        shorter = key == "train.epochs" and after < before
        measured = key == "eval.every_epochs"  # evaluations cannot be added afterwards
        if shorter or measured or not configs.may_change_on_resume(key, old):
            raise UserError(
                f"{run.folder.path} is not the planned run: its {key} is {before!r}, the study's "
                f"is {after!r}; give the study another out_dir, or move the run away"
            )
    return {key: after for key, (_, after) in changed.items()}


def is_done(run: PlannedRun) -> bool:
    """Return whether nothing is left to train: the run is finished, and the plan does not ask for
    more epochs or other patience. Raises UserError if the run is not the planned one."""
    status = run.folder.status()
    if status is None:
        return False
    longer = {"train.epochs", "eval.patience"} & changes(run).keys()
    return status.finished and not longer


@cache
def _count_images(data: DataConfig) -> int:
    return len(load_images(data).images)


def planned_steps(run: PlannedRun) -> int:
    """Return the number of steps of the run. Decodes its images if they are not in the cache.

    Raises UserError if there are too few.
    """
    images = _count_images(run.config.data)
    key = f"{run.name}: train.batch_size"
    check_enough(images, run.config.data.source, run.config.train.batch_size, key)
    return run.config.total_steps(images)
