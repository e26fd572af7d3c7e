"""Turn a study, written as a TOML file or as flags, into its planned runs."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from d3gan import config as configs
from d3gan.config import Config
from d3gan.config_aliases import current_key
from d3gan.config_paths import beside
from d3gan.errors import UserError
from d3gan.evaluation.metrics.names import check_evaluation, metric_names
from d3gan.fields import checked
from d3gan.registry import nearest
from d3gan.study import question_keys
from d3gan.study.plan import PlannedRun, Study
from d3gan.study.question import Primary, Question
from d3gan.study.variants import Variant, make_variants, section, tuned
from d3gan.text_files import read_text, read_toml

KEYS = (
    *("name", "seeds", "methods", "set", "vary", *question_keys.KEYS),
    *("out_dir", "results", "tuned", "tune", "slurm"),
)
SEEDS = (0, 1, 2)
"""Default seeds of a study."""


def read_study(file: Path) -> dict[str, Any]:
    """Return the keys of a study file; paths relative to the file are made complete.

    Raises UserError.
    """
    values = read_toml(read_text(file, "study"), str(file))
    methods = values.get("methods")
    if isinstance(methods, list):
        values["methods"] = [_beside(file, word) for word in methods]
    elif isinstance(methods, dict):
        for table in methods.values():
            if isinstance(table, dict) and "base" in table:
                table["base"] = _beside(file, table["base"])
        values["methods"] = {
            name: beside(file, table) if isinstance(table, dict) else table
            for name, table in methods.items()
        }
    for key in ("set", "vary"):
        if isinstance(values.get(key), dict):
            values[key] = beside(file, values[key])
    values |= beside(file, {key: values[key] for key in ("out_dir",) if key in values})
    for key in ("results", "tuned"):
        if isinstance(values.get(key), str):
            values[key] = str(file.parent / values[key])
    return {"name": file.stem} | values


def _beside(study: Path, word: Any) -> Any:
    """Return the path of the file in the study's folder that `word` names, otherwise `word`."""
    is_path = isinstance(word, str) and Path(word).suffix in (".toml", ".ini")
    return str(study.parent / word) if is_path and (study.parent / word).is_file() else word


def make_study(values: Mapping[str, Any], *, origin: str = "", scale: float = 1.0) -> Study:
    """Return the study described by `values`, nested as in TOML, scaled by `scale` in (0, 1].

    `origin` begins the error messages, for example the file's name. Raises UserError, which names
    the key.
    """
    where = f"{origin}: " if origin else ""
    for key in values:
        if key not in KEYS:
            known = f"; allowed: {', '.join(KEYS)}"
            if key.partition(".")[0] in configs.to_dict(Config()):
                known = f"; write it as set.{key}"
            raise UserError(f"{where}unknown key {key}{nearest(key, list(KEYS)) or known}")
    if not 0 < scale <= 1:
        raise UserError(f"scale = {scale:g}: must be above 0 and at most 1")
    name, out_dir = (checked(str, values.get(k, ""), f"{where}{k}") for k in ("name", "out_dir"))
    name = name or "study"
    out_dir = out_dir or f"runs/{name}"
    if scale < 1:
        out_dir = f"{out_dir.rstrip('/')}-scale-{scale:g}"
    top = configs.from_dict({"name": name, "out_dir": out_dir}, origin=origin)
    seeds = _seeds(values.get("seeds", SEEDS), where)
    question = question_keys.make_question(values, where)
    question_keys.check_pilot_seeds(question.pilot_seeds, seeds, where)
    methods = tuned(
        make_variants(values, scale, where),
        checked(str, values.get("tuned", ""), f"{where}tuned"),
        where,
    )
    vary = map(current_key, section(values.get("vary", {}), f"{where}vary"))
    question = dataclasses.replace(
        _resolved(question, methods, where), vary=tuple(dict.fromkeys(vary))
    )
    # All methods with one seed come before the next seed, so that pairs are complete early.
    runs = [
        _run(method, seed, top.out_dir, where, pilot=True)
        for seed in question.pilot_seeds
        for method in methods
        if _has_pilot(method, question)
    ]
    for method in methods:
        if others := sorted(set(method.seeds) - set(seeds)):
            raise UserError(
                f"{where}methods.{method.base}.seeds: {others[0]} is not among the study's seeds"
            )
    runs += [
        _run(method, seed, top.out_dir, where)
        for seed in seeds
        for method in methods
        if seed in (method.seeds or seeds)
    ]
    _check_unique([run.name for run in runs], where)
    for run in runs:
        _check_metric(question.metric, run, where)
    slurm = values.get("slurm", {})
    if not isinstance(slurm, Mapping):
        raise UserError(f"{where}slurm = {slurm!r}: must be a table of keys")
    results = checked(str, values.get("results", ""), f"{where}results")
    if results and scale < 1:
        results = ""  # they are those of the complete study
    return Study(
        name, tuple(runs), Path(top.out_dir), question, dict(slurm),
        Path(results) if results else None,
    )  # fmt: skip


def _resolved(question: Question, methods: Sequence[Variant], where: str) -> Question:
    """Return the question with the names of its baseline and of its primary comparison's method.

    The default baseline is the method with the fewest discriminators, the first of equals. Raises
    UserError if a name is not that of a method of the study.
    """
    bases = list(dict.fromkeys(method.base for method in methods))
    fewest = min(methods, key=lambda method: method.config.gan.discriminators)
    baseline = question.baseline or fewest.base
    if baseline not in bases:
        raise UserError(
            f"{where}baseline = {baseline!r}: is not a method of the study"
            f"{nearest(baseline, bases)}; methods: {', '.join(bases)}"
        )
    others = [method for method in methods if method.base != baseline]
    primary = question.primary
    if primary:
        name = _primary_method(primary.method, baseline, others, where)
        primary = dataclasses.replace(primary, method=name)
    elif len(others) == 1:
        clock = question_keys.default_clock(question.clocks)
        primary = Primary(others[0].name, clock, question.targets[0])
    return dataclasses.replace(question, baseline=baseline, primary=primary)


def _primary_method(asked: str, baseline: str, others: Sequence[Variant], where: str) -> str:
    """Return the full name of the method that the primary comparison is about."""
    found = [method.name for method in others if asked in (method.base, method.name)]
    if len(found) == 1:
        return found[0]
    names = [method.name for method in others]
    key = f"{where}primary.method = {asked!r}"
    if asked == baseline:
        raise UserError(f"{key}: is the baseline; name another method: {', '.join(names)}")
    if found:
        raise UserError(f"{key}: has several varied values; name one of {', '.join(found)}")
    raise UserError(
        f"{key}: is not a method to compare{nearest(asked, names)}; methods: {', '.join(names)}"
    )


def _has_pilot(method: Variant, question: Question) -> bool:
    """Return whether the method is trained with the pilot seeds: the baseline, which fixes the
    targets, and the primary comparison's method, or all methods if there is no such comparison."""
    primary = question.primary
    return not primary or method.base == question.baseline or method.name == primary.method


def _seeds(seeds: Any, where: str) -> tuple[int, ...]:
    if not seeds:
        raise UserError(f"{where}seeds = {seeds!r}: must be a list such as [0, 1, 2]")
    return question_keys.check_seeds(seeds, f"{where}seeds")


def _run(
    method: Variant, seed: int, out_dir: str, where: str, *, pilot: bool = False
) -> PlannedRun:
    kind = "pilot" if pilot else "seed"
    named = {"name": f"{method.name}-{kind}-{seed}", "seed": seed, "out_dir": out_dir}
    planned = configs.from_dict(named, method.config, f"{where}methods")
    try:
        check_evaluation(planned.eval)
        return PlannedRun(method.name, configs.validate(planned), pilot)
    except UserError as error:
        raise UserError(f"{where}{planned.name}: {error}") from error


def _check_unique(names: Sequence[str], where: str) -> None:
    for name in names:
        # Some file systems do not distinguish upper and lower case.
        if [other.lower() for other in names].count(name.lower()) > 1:
            raise UserError(
                f"{where}two runs would be called {name}; give the methods different names, as "
                "tables [methods.NAME], or vary other values"
            )


def _check_metric(metric: str, run: PlannedRun, where: str) -> None:
    """Raise UserError if the run would not measure the metric to compare."""
    evaluation = run.config.eval
    if not evaluation.every_epochs:
        raise UserError(
            f"{where}{run.name}: eval.every_epochs = 0: nothing could be compared; set it above 0"
        )
    measured = evaluation.metrics or tuple(metric_names(evaluation.features))
    if metric not in ("", *measured):
        raise UserError(
            f"{where}metric = {metric!r}: {run.name} does not measure it"
            f"{nearest(metric, list(measured))}; it measures {', '.join(measured)}"
        )
