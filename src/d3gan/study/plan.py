"""A study: methods times variations times seeds, as runs, of which some may be there already."""

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
from d3gan.training.engines import total_steps


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study: a method by one seed."""

    method: str
    """Its name, with what is varied; what runs that differ only in the seed share."""
    config: Config

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.config.run_dir)

    @property
    def log(self) -> Path:
        """What its processes say."""
        return Path(self.config.out_dir) / "logs" / f"{self.name}.log"

    @property
    def plan_file(self) -> Path:
        """The config to begin it by."""
        return Path(self.config.out_dir) / "plans" / f"{self.name}.toml"


@dataclass(frozen=True)
class Study:
    """Runs to compare. All of them are valid, and their names are unique."""

    name: str
    runs: tuple[PlannedRun, ...]
    out_dir: Path
    baseline: str
    """The method that the others are compared with."""
    metric: str
    """What is compared; "": the metric that the runs monitor."""
    slurm: dict[str, Any]
    """Parameters of the jobs of --launcher slurm."""

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(run.method for run in self.runs))


def differences(run: PlannedRun) -> dict[str, Any]:
    """The keys that the run, which is there, is to change before it goes on, and their values.

    Raises UserError, naming the key, if it is not the run that is planned.
    """
    old, _ = config_files.starting_point(str(run.folder.path))
    # The folder is where the plan says, however that is written.
    old = dataclasses.replace(old, name=run.name, out_dir=run.config.out_dir)
    changed = configs.changes(old, run.config)
    for key, (before, after) in changed.items():
        shorter = key == "train.epochs" and after < before
        measured = key == "eval.every_epochs"  # a finished run has no other evaluations
        if shorter or measured or not configs.may_change_on_resume(key, old):
            raise UserError(
                f"{run.folder.path} is another run than planned: {key} is {before!r} there, "
                f"{after!r} in the study; give the study another out_dir, or move the run away"
            )
    return {key: after for key, (_, after) in changed.items()}


@cache
def _count_images(data: DataConfig) -> int:
    return len(load_images(data).images)


def planned_steps(run: PlannedRun) -> int:
    """Steps of the whole run. Decodes the images where that was never done. Raises UserError."""
    images = _count_images(run.config.data)
    key = f"{run.name}: train.batch_size"
    check_enough(images, run.config.data.source, run.config.train.batch_size, key)
    return total_steps(run.config, images)
