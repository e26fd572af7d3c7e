"""d3gan compare."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import tyro

from d3gan import config as configs
from d3gan.cli.parsing import check_output, config_flags, parse, split_flags
from d3gan.cli.plan_tables import plan_summary, plan_table
from d3gan.cli.printing import STANDARD_OUTPUT, check_json, print_table, write_json
from d3gan.cli.report import print_comparison, write_report
from d3gan.errors import UserError
from d3gan.messages import is_quiet
from d3gan.outputs import check_replaceable
from d3gan.shell import command_line
from d3gan.study.launchers import Launcher, LocalLauncher, SubmititLauncher, check_jobs, local_slots
from d3gan.study.plan import Study
from d3gan.study.records import Axis
from d3gan.study.run import Entry
from d3gan.study.saved_study import save
from d3gan.study.session import begin, check_failed, prepared, train_runs
from d3gan.study.study_file import make_study, read_study

FLAGS = (
    "name", "methods", "seeds", "baseline", "metric", "out_dir", "pilot_seeds", "targets",
    "clocks", "margin", "collapsed_below", "results", "tuned",
)  # fmt: skip
"""Keys of a study file that flags of the same name replace."""

Words = tuple[str, ...]
Repeated = tyro.conf.UseAppendAction[tuple[Words, ...]]


@dataclass(frozen=True)
class Compare:
    """Train methods with several seeds, and compare them with confidence intervals.

    Every configuration key is a flag: `--train.epochs 4` sets it in all runs.
    """

    study: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="STUDY.toml")] = ""
    """Study file (docs/studies.md); flags override its keys, and with --methods no file is needed.
    Finished runs are not trained again, and interrupted runs continue."""
    name: str = ""
    """Name of the study and of its folder in runs/."""
    methods: Words = ()
    """Presets or .toml files."""
    seeds: tuple[int, ...] = ()
    """Seeds, each of which gives one run of every method; default: 0 1 2."""
    vary: Annotated[Repeated, tyro.conf.arg(metavar="KEY VALUE [VALUE ...]")] = ()
    """Configuration key and its values, each of which is combined with every method; may be
    repeated."""
    baseline: str = ""
    """The method that the others are compared with; default: the one with the fewest
    discriminators."""
    metric: str = ""
    """The metric to compare; default: the monitored metric."""
    pilot_seeds: tuple[int, ...] = ()
    """Seeds of pilot runs of the baseline, which set the targets and are not part of the
    comparison."""
    primary: Annotated[str, tyro.conf.arg(metavar="METHOD")] = ""
    """Method of the primary comparison, which is named before training; the p-values of the others
    are corrected for their number."""
    targets: tuple[float, ...] = ()
    """Values of the metric whose time to reach is compared, as multiples of the baseline's plateau
    (its best smoothed value); default: 1.25 1.1."""
    clocks: tuple[Axis, ...] = ()
    """What the cost of training is measured in; default: all of these."""
    margin: float | None = None
    """Methods are equivalent if their metric differs by less than this share at equal cost;
    default: 0.15."""
    collapsed_below: float | None = None
    """A run collapsed if it covers less than this share of the real data's modes; default: 0.5."""
    out_dir: str = ""
    """Folder of the runs; default: runs/NAME."""
    results: str = ""
    """Folder that keeps the metrics of finished runs, without checkpoints and samples; runs whose
    metrics it holds are not trained again."""
    tuned: str = ""
    """File of `d3gan tune` with the hyperparameters of each method."""
    scale: float = 1.0
    """Factor on epochs and widths (above 0, at most 1); scaled runs have a separate folder."""
    jobs: int = 0
    """Number of runs that are trained at the same time; 0: one for each CUDA device, or one on the
    CPU, or all with slurm."""
    launcher: Literal["local", "slurm", "submitit-local"] = "local"
    """slurm: submit a job for each run; --slurm.KEY VALUE sets its parameters (partition,
    gpus_per_node, timeout_min ...)."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"])] = ""
    """File of the report; default: NAME.html in the folder of the runs."""
    json: str = ""
    """Write the comparison as JSON to this file; with "-", print only that JSON."""
    dry_run: bool = False
    """List the runs and their progress without training."""
    pilot_only: bool = False
    """Train the pilot runs alone."""
    power: bool = False
    """Train nothing: simulate the study with 3, 5, 8, 12 and 20 seeds and the noise of its pilot
    runs, and print how often it would find a difference, and the hours that it takes."""
    effect: float = 1.31
    """Speed-up that --power assumes: how many times as fast a method reaches the target."""


def compare(arguments: list[str]) -> int:
    """Train the runs of a study and compare its methods."""
    if "--set" in arguments:
        raise UserError("--set KEY VALUE: write --KEY VALUE, for example --train.epochs 4")
    rest, slurm = split_flags(arguments, lambda key: key.startswith("slurm."))
    rest, changes = config_flags(rest, lambda key: "." in key)
    options: Compare = parse(Compare, rest, "compare")
    check_json(options.json)
    if options.output:
        check_output(Path(options.output), (".html",))
        check_replaceable(Path(options.output))
    check_jobs(options.jobs)
    study = prepared(planned(options, changes))
    if options.power:
        from d3gan.cli.power import print_power

        words = [word for word in arguments if word != "--power"]
        command = command_line("compare", *words, "--pilot-only")
        print_power(study, options.effect, command, options.json)
        return 0
    entries = begin(study)
    if options.pilot_only:
        entries = _pilots(entries)
    if options.dry_run:
        print_table(plan_table(entries))
        print(plan_summary(entries))
        return 0
    launcher = _launcher(options, study, slurm)
    saved = save(study)
    command = command_line("compare", *arguments)
    train_runs(study, entries, launcher, command)
    if not options.pilot_only:
        _report(options, study, saved.warnings(study.out_dir))
    check_failed(entries, command)
    return 0


def _report(options: Compare, study: Study, notes: Sequence[str]) -> None:
    """Write and print the report on the runs that exist; a run that failed does not prevent it."""
    runs = [run.folder for run in study.runs if run.folder.exists()]
    if not runs:
        return
    report = Path(options.output or study.out_dir / f"{study.name}.html")
    comparison = write_report(runs, report, title=study.name, question=study.question, notes=notes)
    write_json(comparison, options.json)
    if is_quiet() and options.json != STANDARD_OUTPUT:
        print(report)
    elif options.json != STANDARD_OUTPUT:
        print_comparison(comparison, report)


# The plan


def _pilots(entries: Sequence[Entry]) -> list[Entry]:
    """Return the pilot runs. Raises UserError if the study has none."""
    pilots = [entry for entry in entries if entry.run.pilot]
    if not pilots:
        raise UserError(
            "--pilot-only: the study has no pilot runs; name their seeds, such as "
            "--pilot-seeds 100 101 102"
        )
    return pilots


def planned(options: Compare, changes: Mapping[str, Any] = MappingProxyType({})) -> Study:
    """Return the study of the file with the flags applied; `changes` are the configuration's flags.

    Raises UserError.
    """
    values: dict[str, Any] = read_study(Path(options.study)) if options.study else {}
    for key in FLAGS:
        if (given := getattr(options, key)) not in (None, "", ()):
            values[key] = list(given) if isinstance(given, tuple) else given
    if options.primary:
        table = values.get("primary")
        values["primary"] = {
            **(table if isinstance(table, Mapping) else {}),
            "method": options.primary,
        }
    overriding = {"set": dict(changes), "vary": _lists(options.vary)}
    for key, flags in overriding.items():
        if flags:
            table = values.get(key, {})
            values[key] = (configs.flatten(table) if isinstance(table, Mapping) else {}) | flags
    return make_study(values, origin=options.study, scale=options.scale)


def _lists(groups: Sequence[Words]) -> dict[str, Any]:
    """Return the lists of values of --vary KEY VALUE VALUE by key."""
    values: dict[str, Any] = {}
    for words in groups:
        if len(words) < 2:
            raise UserError(f"--vary {' '.join(words)}: write --vary KEY VALUE [VALUE ...]")
        key = words[0].replace("-", "_")
        values[key] = [configs.typed(key, word) for word in words[1:]]
    return values


def _launcher(options: Compare, study: Study, slurm: Mapping[str, str]) -> Launcher:
    """Return the launcher; `slurm` are the values of --slurm.KEY, by key. Raises UserError."""
    if options.launcher == "local":
        return LocalLauncher(local_slots(options.jobs, [run.config for run in study.runs]))
    return SubmititLauncher(
        "slurm" if options.launcher == "slurm" else "local",
        study.out_dir / "logs" / "submitit",
        options.jobs or len(study.runs),
        study.slurm | {key.removeprefix("slurm."): _number(word) for key, word in slurm.items()},
    )


def _number(word: str) -> int | float | str:
    """Return a word as a number if it is one."""
    for kind in (int, float):
        with suppress(ValueError):
            return kind(word)
    return word
