"""A study: methods times variations times seeds, as planned runs, some of which may exist."""

import dataclasses
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from d3gan import config as configs
from d3gan import config_files
from d3gan.config import Config, DataConfig
from d3gan.config_paths import absolute
from d3gan.data.cache import check_enough, load_images
from d3gan.data.locations import cache_folder
from d3gan.errors import UserError
from d3gan.evaluation.features.choice import chosen
from d3gan.evaluation.features.names import AUTO
from d3gan.evaluation.metrics.names import check_evaluation, check_names
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
    results: Path | None = None
    """Folder that keeps the rows of runs that are over, or None."""

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(run.method for run in self.runs))


def with_features(study: Study) -> tuple[Study, str]:
    """Return the study with what eval.features = "auto" stands for, the same in all of its runs.

    It is what existing runs of the study have, or else what its other runs name, or else what can
    be had here. Also returns one line that says which features and why, or "". Raises UserError if
    they do not give the metrics.
    """
    auto = [run for run in study.runs if run.config.eval.features == AUTO]
    if not auto:
        return study, ""
    begun = [run.folder for run in auto if run.folder.exists()]
    named = {run.config.eval.features for run in study.runs if run not in auto}
    if begun:
        features = config_files.load_file(begun[0].config_file).eval.features
        line = f"eval.features = {features}: as {begun[0].path}"
    elif len(named) == 1:
        (features,) = named
        line = f"eval.features = {features}: as the other methods of the study"
    else:
        evaluation, line = chosen(auto[0].config.eval, cache_folder(), study.question.metric)
        features = evaluation.features
    runs = tuple(
        _with_features(run, features, study.question.metric) if run in auto else run
        for run in study.runs
    )
    return dataclasses.replace(study, runs=runs), line


def check_precision(study: Study) -> None:
    """Raise UserError if a method computes in another precision on another machine."""
    for run in study.runs:
        if run.config.train.precision == "auto":
            raise UserError(
                f"{run.name}: train.precision = 'auto': the runs of a study have one precision on "
                "every machine; choose fp32 or bf16"
            )


def _with_features(run: PlannedRun, features: str, metric: str) -> PlannedRun:
    evaluation = dataclasses.replace(run.config.eval, features=features)
    try:
        check_evaluation(evaluation)
        check_names((metric,) if metric else (), features)
    except UserError as error:
        raise UserError(f"{run.name}: {error}") from error
    return dataclasses.replace(run, config=dataclasses.replace(run.config, eval=evaluation))


def changes(run: PlannedRun) -> dict[str, Any]:
    """Return the keys that an existing run must change to become the planned one, and their values.

    Raises UserError, naming the key, if it cannot become the planned one.
    """
    old, _ = config_files.starting_point(str(run.folder.path))
    # Both folders are the same, even if their paths are written differently.
    old = absolute(dataclasses.replace(old, name=run.name, out_dir=run.config.out_dir))
    planned = absolute(run.config)
    if not planned.model.init_sha256:  # filled in when a run is created
        model = dataclasses.replace(planned.model, init_sha256=old.model.init_sha256)
        planned = dataclasses.replace(planned, model=model)
    changed = configs.changes(old, planned)
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
    check_enough(images, run.config.data, run.config.train.batch_size, key)
    return run.config.total_steps(images)
