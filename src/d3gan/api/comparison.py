"""Compare methods from Python: train what is missing, and ask the judge."""

import os
from collections.abc import Iterable, Mapping, Sequence
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d3gan import config as configs
from d3gan.api.arguments import Images, StrPath, flat_changes, with_data
from d3gan.api.frames import to_frame
from d3gan.api.run import Run
from d3gan.errors import UserError
from d3gan.runs import RunFolder

if TYPE_CHECKING:
    import pandas as pd

    from d3gan.study.plan import Study
    from d3gan.study.question import Question

COMMAND = "d3gan.compare(...)"
"""What continues a study, in messages."""


class Comparison:
    """What runs show about their methods; `d3gan.compare` and `d3gan.compare_runs` return it."""

    def __init__(self, values: dict[str, Any], title: str) -> None:
        self._values = values
        self._title = title

    @property
    def title(self) -> str:
        """Title of the report."""
        return self._title

    @property
    def verdict(self) -> str:
        """The judge's sentences, one a line, as in the report; docs/judge.md explains them."""
        judgement = self._values["judgement"]
        return "\n".join(judgement["sentences"]) or str(judgement["headline"])

    @property
    def runs(self) -> list[Run]:
        """The runs that were compared."""
        return [Run(run["path"]) for _, run in self._each_run()]

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as strict JSON has it; docs/comparison.md describes it."""
        return self._values

    def to_frame(self) -> "pd.DataFrame":
        """Return a frame with one row per run: method, seed, costs, and best value of the metric.

        Raises:
            UserError: If pandas is not installed (``pip install "d3gan[frames]"``).
        """
        columns = (
            *("name", "seed", "status", "steps", "images", "train_seconds", "images_per_second"),
            *("peak_memory_bytes", "path"),
        )
        metric = self._values["metric"]
        return to_frame(
            {"method": method}
            | {f"best_{metric}": run["best"]["value"] if run["best"] else None}
            | {f"reported_{metric}": (run["reported"] or {}).get(metric)}
            | {column: run[column] for column in columns}
            for method, run in self._each_run()
        )

    def report(self, path: StrPath) -> Path:
        """Write the report, one page of HTML that works offline, and return its path.

        Raises:
            UserError: If the file cannot be written.
        """
        from d3gan.report.comparison import run_folders
        from d3gan.report.page import write_page  # imports matplotlib

        write_page(self._values, run_folders(self._values), Path(path), title=self.title)
        return Path(path)

    def __repr__(self) -> str:
        return f"Comparison({self.verdict!r})"

    def _each_run(self) -> list[tuple[str, dict[str, Any]]]:
        """Return every run's summary, with its method."""
        return [(name, run) for name, runs in self._values["runs"].items() for run in runs]


def compare(
    methods: StrPath | Sequence[StrPath] | Mapping[str, Mapping[str, Any]],
    seeds: Iterable[int] | None = None,
    changes: Mapping[str, Any] | None = None,
    *,
    name: str = "",
    out_dir: StrPath = "",
    data: Images | None = None,
    metric: str = "",
    baseline: str = "",
    pilot_seeds: Iterable[int] = (),
    jobs: int = 0,
) -> Comparison:
    """Train every method with every seed, and compare the methods.

    Runs that are over are not trained again, and interrupted ones continue, so the same call can be
    repeated. Every run is trained by its own process, whose output is in the folder ``logs`` of the
    study. Ctrl-C saves all runs and raises `d3gan.Interrupted`.

    Args:
        methods: Presets and .toml files; or changes of a preset by the name of the method, such as
            ``{"wide": {"base": "mnist-dcgan", "model.generator_width": 96}}``; or one study file
            (.toml, docs/studies.md), which the other arguments override.
        seeds: Seeds, each of which gives one run of every method; by default 0, 1 and 2. Few seeds
            decide little, and "faster" takes at least six.
        changes: Values of the configuration in all runs, by key, dotted or nested.
        name: Name of the study; by default that of the study file, or "study".
        out_dir: Folder of the runs; by default ``runs/NAME``.
        data: Images to train on, as for `d3gan.train`.
        metric: Metric to compare; by default the one that the runs monitor.
        baseline: Method that the others are compared with; by default the one with the fewest
            discriminators.
        pilot_seeds: Seeds of runs that fix the qualities to reach, and are not judged.
        jobs: Number of runs trained at once; 0: one for each CUDA device, or one on the CPU.

    Raises:
        UserError: For a mistake in the arguments, and if runs failed.
        Interrupted: After Ctrl-C or SIGTERM.
    """
    from d3gan.study.launchers import LocalLauncher, check_jobs, local_slots
    from d3gan.study.saved_study import save
    from d3gan.study.session import begin, check_failed, prepared, train_runs

    check_jobs(jobs)
    if isinstance(seeds, int) or isinstance(pilot_seeds, int):
        raise UserError("seeds and pilot_seeds must be lists of numbers, such as range(5)")
    options = {
        "seeds": None if seeds is None else list(map(index, seeds)),
        "name": name,
        "out_dir": os.fspath(out_dir),
        "metric": metric,
        "baseline": baseline,
        "pilot_seeds": list(map(index, pilot_seeds)),
    }
    given = {key: value for key, value in options.items() if value not in (None, "", [])}
    study = prepared(_planned(methods, given, with_data(changes, data)))
    entries = begin(study)
    slots = local_slots(jobs, [run.config for run in study.runs])
    notes = save(study).warnings(study.out_dir)
    train_runs(study, entries, LocalLauncher(slots), COMMAND)
    check_failed(entries, COMMAND)
    return _compared([run.folder for run in study.runs], study.name, study.question, notes)


def compare_runs(runs: Iterable[StrPath], *, metric: str = "", baseline: str = "") -> Comparison:
    """Compare runs that exist; runs that differ only in their seed are one method.

    Args:
        runs: Runs or their folders.
        metric: Metric to compare; by default the one that the runs monitored.
        baseline: Method that the others are compared with; by default the one with the fewest
            discriminators.

    Raises:
        UserError: If there are no runs, or if no run has the metric or the baseline.
    """
    from d3gan.study.question import Question

    folders = [RunFolder(Path(run)) for run in runs]
    title = ", ".join(folder.path.name for folder in folders)
    return _compared(folders, title, Question(metric=metric, baseline=baseline), [])


def _planned(
    methods: StrPath | Sequence[StrPath] | Mapping[str, Mapping[str, Any]],
    options: dict[str, Any],
    changes: dict[str, Any],
) -> "Study":
    """Return the study; `options` are keys of a study file. Raises UserError."""
    from d3gan.study.study_file import make_study, read_study

    values: dict[str, Any] = {}
    if isinstance(methods, str | os.PathLike):
        file = Path(methods)
        if file.suffix != ".toml":
            raise UserError(
                f"methods = {os.fspath(methods)!r}: must be a list of methods, or a study file "
                "(.toml)"
            )
        values = read_study(file)
    elif isinstance(methods, Mapping):
        values["methods"] = {name: flat_changes(method) for name, method in methods.items()}
    else:
        values["methods"] = [os.fspath(method) for method in methods]
        for method in values["methods"]:
            if RunFolder(Path(method)).exists():
                raise UserError(
                    f"{method} is a run, and compare trains new runs of methods; compare existing "
                    "runs with d3gan.compare_runs"
                )
    if changes:
        before = values.get("set", {})
        values["set"] = (configs.flatten(before) if isinstance(before, Mapping) else {}) | changes
    return make_study(values | options)


def _compared(
    runs: Sequence[RunFolder], title: str, question: "Question", notes: Sequence[str]
) -> Comparison:
    from d3gan.study.compare import compare as compare_folders

    return Comparison(compare_folders(runs, question, notes), title)
