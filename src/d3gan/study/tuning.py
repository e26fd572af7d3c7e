"""Search for hyperparameters, with the same trials for every method of a study.

Trial 0 is the study's own choice; the others are drawn at random (Bergstra and Bengio 2012, "Random
search for hyper-parameter optimization") or listed in a grid. Trial i has the same values for all
methods, and every method has the same number of trials, images and seeds. The seeds are not among
those of the study, so no run that is judged took part in the choice.
"""

import dataclasses
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from d3gan import config as configs
from d3gan.errors import UserError
from d3gan.evaluation.metrics.names import metric_names
from d3gan.fields import checked
from d3gan.study import question_keys
from d3gan.study.plan import PlannedRun, Study
from d3gan.study.question import Question
from d3gan.study.records import Metric, Record, load
from d3gan.study.study_file import make_study
from d3gan.study.targets import log_metric, metric_value, smoothed
from d3gan.study.variants import section

_KEYS = ("trials", "seeds", "space", "grid")
_NOT_JUDGED = ("primary", "pilot_seeds", "targets", "clocks", "baseline", "tuned", "tune")
"""Keys of a study file that a search does not need."""
_DIGITS = 3
"""Significant digits of drawn values."""

Changes = dict[str, Any]
"""Dotted configuration keys and their values."""


@dataclass(frozen=True)
class Search:
    """The trials of a study's methods."""

    study: Study
    """All runs of all trials."""
    trials: tuple[Changes, ...]
    """What each trial changes; the first changes nothing."""

    def runs(self, method: str, trial: int) -> list[PlannedRun]:
        """Return the runs of a trial of a method, one for each seed."""
        name = _trial_name(method, trial)
        return [run for run in self.study.runs if run.method == name]

    @property
    def methods(self) -> list[str]:
        """Names of the study's methods."""
        names = [run.method.rpartition("-trial-")[0] for run in self.study.runs]
        return list(dict.fromkeys(names))


@dataclass(frozen=True)
class Trial:
    """A trial of one method whose runs are over."""

    number: int
    changes: Changes
    value: float | None
    """Median over seeds of the best smoothed metric; None if a run diverged, or was not evaluated.
    """


def make_search(values: Mapping[str, Any], *, origin: str = "", scale: float = 1.0) -> Search:
    """Return the search that the table `tune` of a study file describes. Raises UserError."""
    where = f"{origin}: tune" if origin else "tune"
    table = values.get("tune")
    if not isinstance(table, Mapping):
        raise UserError(
            f"{where}: the study has no table [tune]; write for example trials = 8, seeds = [200], "
            'space = {"optim.lr_g" = {low = 1e-4, high = 4e-3}}'
        )
    question_keys.check_keys(table, _KEYS, where)
    seeds = question_keys.check_seeds(table.get("seeds", ()), f"{where}.seeds")
    used = {*values.get("seeds", ()), *values.get("pilot_seeds", ())}
    if not seeds or used & set(seeds):
        raise UserError(
            f"{where}.seeds = {list(seeds)}: must name at least one seed, and none of the study's "
            "seeds and pilot_seeds, so that no judged run takes part in the choice"
        )
    if {"grid", "space"} <= table.keys():
        raise UserError(f"{where}: has both a grid and a space; leave one of them out")
    trials = ({}, *_grid(table["grid"], where)) if "grid" in table else _drawn(table, where)
    others = {key: value for key, value in values.items() if key not in _NOT_JUDGED}
    study = make_study(others | {"seeds": list(seeds)}, origin=origin, scale=scale)
    folder, results = study.out_dir / "tune", study.results
    runs = tuple(
        _trial(run, number, changes, folder, where)
        for number, changes in enumerate(trials)
        for run in study.runs
    )
    question = Question(metric=study.question.metric, clocks=("images",))
    search = dataclasses.replace(
        study,
        name=f"{study.name}-tune",
        runs=runs,
        out_dir=folder,
        question=question,
        results=results and results / "tune",
    )
    return Search(search, trials)


def _trial_name(method: str, number: int) -> str:
    return f"{method}-trial-{number}"


def _trial(run: PlannedRun, number: int, changes: Changes, folder: Path, where: str) -> PlannedRun:
    """Return a run of a trial, from the run of its method."""
    method = _trial_name(run.method, number)
    name = {"name": f"{method}-seed-{run.config.seed}", "out_dir": str(folder)}
    changed = configs.from_dict(configs.nested(changes | name), run.config, where)
    try:
        return PlannedRun(method, configs.validate(changed))
    except UserError as error:
        raise UserError(f"{where}: trial {number} of {run.method}: {error}") from error


def _grid(grid: Any, where: str) -> tuple[Changes, ...]:
    if not isinstance(grid, list) or not grid:
        raise UserError(f"{where}.grid = {grid!r}: must be a list of tables of configuration keys")
    return tuple(section(changes, f"{where}.grid") for changes in grid)


def _drawn(table: Mapping[str, Any], where: str) -> tuple[Changes, ...]:
    """Return the changes of trials whose values are drawn from the space."""
    count = checked(int, table.get("trials", 8), f"{where}.trials")
    if count < 2:
        raise UserError(
            f"{where}.trials = {count}: must be at least 2; the first is the study's own choice"
        )
    space = table.get("space")
    if not isinstance(space, Mapping) or not space:
        raise UserError(f"{where}: needs a table space of configuration keys, or a list grid")
    choices = _space(space, where)
    return ({}, *(_draw(choices, number) for number in range(1, count)))


def _space(space: Mapping[str, Any], where: str) -> dict[str, tuple[float, float] | list[Any]]:
    """Return for each dotted key the limits between which it is drawn, or the values to choose
    from."""
    found: dict[str, tuple[float, float] | list[Any]] = {}
    for key, value in _ranges(space):
        if isinstance(value, list) and value:
            found[key] = value
            continue
        limits = _limits(value)
        if limits is None:
            raise UserError(
                f"{where}.space: {key} = {value!r}: must be {{low = 1e-4, high = 4e-3}} with "
                "0 < low < high, or a list of values"
            )
        found[key] = limits
    section(dict.fromkeys(found, 0), f"{where}.space")  # refuses keys that the study sets itself
    return found


def _limits(value: Any) -> tuple[float, float] | None:
    """Return the numbers low and high of a table; None unless 0 < low < high."""
    if not isinstance(value, Mapping):
        return None
    low, high = value.get("low"), value.get("high")
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        return None
    return (float(low), float(high)) if 0 < low < high < math.inf else None


def _ranges(space: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return dotted keys and their values, of which a table with low and high is one."""
    pairs = []
    for key, value in space.items():
        if isinstance(value, Mapping) and not {"low", "high"} & value.keys():
            pairs += _ranges(value, f"{prefix}{key}.")
        else:
            pairs.append((f"{prefix}{key}", value))
    return pairs


def _draw(choices: Mapping[str, tuple[float, float] | list[Any]], number: int) -> Changes:
    """Return the values of a trial; they depend on its number and the keys' names alone."""
    drawn: Changes = {}
    for key, choice in choices.items():
        source = random.Random(f"{key}:{number}")
        if isinstance(choice, list):
            drawn[key] = choice[source.randrange(len(choice))]
        else:
            low, high = map(math.log, choice)
            drawn[key] = float(f"{math.exp(source.uniform(low, high)):.{_DIGITS}g}")
    return drawn


# The results


def trials(search: Search, method: str) -> list[Trial]:
    """Return the trials of a method, the best one first and those without a value last.

    Raises UserError if the files of a run are missing or damaged.
    """
    found = []
    for number, changes in enumerate(search.trials):
        records = [load(run.folder) for run in search.runs(method, number)]
        metric = metric_of(search, records[0])
        lowest = [_lowest(record, metric) for record in records]
        y = math.inf if None in lowest else float(np.median(np.array(lowest, np.float64)))
        value = metric_value(y, metric.better) if math.isfinite(y) else None
        found.append((y, Trial(number, changes, value)))
    return [trial for _, trial in sorted(found, key=lambda pair: pair[0])]


def metric_of(search: Search, record: Record) -> Metric:
    """Return the metric by which trials are compared."""
    name = search.study.question.metric or record.monitored
    return Metric(name, metric_names(record.config.eval.features)[name])


def _lowest(record: Record, metric: Metric) -> float | None:
    """Return the best smoothed y of a run (`d3gan.study.targets`); None if it diverged or was not
    evaluated."""
    values = record.curve(metric.name).values
    if record.outcome == "diverged" or not values:
        return None
    return float(smoothed(log_metric(values, metric.better)).min())


def tuned_toml(best: Mapping[str, Trial]) -> str:
    """Return the content of the file that a study names as `tuned`: the changes of the best trial
    of each method."""
    tables = {method: trial.changes for method, trial in best.items()}
    return "# The best trial of every method, by d3gan tune.\n\n" + tomli_w.dumps(tables)
