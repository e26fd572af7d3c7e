"""Turn a study, written as a TOML file or as flags, into its planned runs."""

import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from d3gan import config as configs
from d3gan import config_files
from d3gan.config import Config
from d3gan.config_aliases import current_key
from d3gan.errors import UserError
from d3gan.evaluation.metrics.names import check_evaluation, metric_names
from d3gan.fields import checked
from d3gan.registry import nearest
from d3gan.study import question_keys
from d3gan.study.plan import PlannedRun, Study
from d3gan.study.question import Primary, Question

KEYS = ("name", "seeds", "methods", "set", "vary", *question_keys.KEYS, "out_dir", "slurm")
SEEDS = (0, 1, 2)
"""Default seeds of a study."""
WIDTH_MULTIPLE = 8
"""Widths of a scaled study are multiples of this, which group norm and fast kernels need."""


def read_study(file: Path) -> dict[str, Any]:
    """Return the keys of a study file; paths of methods in its folder are made complete.

    Raises UserError.
    """
    values = config_files.read_toml(config_files.read_text(file, "study"), str(file))
    methods = values.get("methods")
    if isinstance(methods, list):
        values["methods"] = [_beside(file, word) for word in methods]
    elif isinstance(methods, dict):
        for table in methods.values():
            if isinstance(table, dict) and "base" in table:
                table["base"] = _beside(file, table["base"])
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
    methods = _variants(values, scale, where)
    vary = map(current_key, _section(values.get("vary", {}), f"{where}vary"))
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
    runs += [_run(method, seed, top.out_dir, where) for seed in seeds for method in methods]
    _check_unique([run.name for run in runs], where)
    for run in runs:
        _check_metric(question.metric, run, where)
    slurm = values.get("slurm", {})
    if not isinstance(slurm, Mapping):
        raise UserError(f"{where}slurm = {slurm!r}: must be a table of keys")
    return Study(name, tuple(runs), Path(top.out_dir), question, dict(slurm))


@dataclass(frozen=True)
class _Variant:
    """A method with one combination of the varied values."""

    base: str
    """Name of the method in the study file."""
    name: str
    config: Config


def _variants(values: Mapping[str, Any], scale: float, where: str) -> list[_Variant]:
    """Return every method with every combination of the varied values."""
    changes = configs.nested(_section(values.get("set", {}), f"{where}set"))
    return [
        _Variant(base, base + label, scaled(varied, scale))
        for base, config in _methods(values.get("methods"), where)
        for label, varied in _varied(
            configs.from_dict(changes, config, f"{where}set"), values.get("vary", {}), where
        )
    ]


def _resolved(question: Question, methods: Sequence[_Variant], where: str) -> Question:
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


def _primary_method(asked: str, baseline: str, others: Sequence[_Variant], where: str) -> str:
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


def _has_pilot(method: _Variant, question: Question) -> bool:
    """Return whether the method is trained with the pilot seeds: the baseline, which fixes the
    targets, and the primary comparison's method, or all methods if there is no such comparison."""
    primary = question.primary
    return not primary or method.base == question.baseline or method.name == primary.method


def _seeds(seeds: Any, where: str) -> tuple[int, ...]:
    if not seeds:
        raise UserError(f"{where}seeds = {seeds!r}: must be a list such as [0, 1, 2]")
    return question_keys.check_seeds(seeds, f"{where}seeds")


def _methods(methods: Any, where: str) -> Iterator[tuple[str, Config]]:
    """Yield the name and the configuration of each method."""
    example = f'methods = ["mnist-dcgan", "mnist-d3gan"]; presets: {_presets()}'
    if not methods:
        raise UserError(f"{where}name the methods to compare, as {example}")
    if isinstance(methods, Mapping):
        for name, values in methods.items():
            origin = f"{where}methods.{name}"
            if not isinstance(values, Mapping):
                raise UserError(f"{origin} = {values!r}: must be a table of keys")
            base = values.get("base", name if name in config_files.presets() else "")
            if not isinstance(base, str) or not base:
                raise UserError(f"{origin}: needs base = PRESET; presets: {_presets()}")
            start, _ = config_files.starting_point(base)
            rest = _section({k: v for k, v in values.items() if k != "base"}, origin)
            yield name, configs.from_dict(configs.nested(rest), start, origin)
    elif isinstance(methods, list | tuple) and all(isinstance(word, str) for word in methods):
        for word in methods:
            config, _ = config_files.starting_point(word)
            yield config.name, config
    else:
        raise UserError(f"{where}methods = {methods!r}: must be a list, as {example}")


def _presets() -> str:
    return ", ".join(config_files.presets())


def _section(values: Any, where: str) -> dict[str, Any]:
    """Return dotted keys of the configuration with their values. Raises UserError for a key that
    the study sets for each run."""
    if not isinstance(values, Mapping):
        raise UserError(f"{where} = {values!r}: must be a table of keys")
    flat = configs.flatten(values)
    for key in flat:
        if configs.identifies_run(key):
            raise UserError(
                f"{where}: {key} = {flat[key]!r}: the study sets it for each run, by its own keys "
                "name, seeds and out_dir"
            )
    return flat


def _varied(config: Config, vary: Any, where: str) -> Iterator[tuple[str, Config]]:
    """Yield every combination of the varied keys, with its suffix of the method's name."""
    choices = _section(vary, f"{where}vary")
    for key, options in choices.items():
        if not isinstance(options, list | tuple) or not options:
            raise UserError(f"{where}vary: {key} = {options!r}: must be a list of values")
    last = [key.rpartition(".")[2] for key in choices]
    pairs = zip(choices, last, strict=True)
    short = {key: word if last.count(word) == 1 else key for key, word in pairs}
    for values in itertools.product(*choices.values()):
        chosen = dict(zip(choices, values, strict=True))
        label = "".join(f"-{short[key]}-{_word(value)}" for key, value in chosen.items())
        yield label, configs.from_dict(configs.nested(chosen), config, f"{where}vary")


def _word(value: Any) -> str:
    """Return a value as part of a file name."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return re.sub(r"[^\w.]+", "-", text).strip("-") or "none"


def _run(
    method: _Variant, seed: int, out_dir: str, where: str, *, pilot: bool = False
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


def scaled(config: Config, scale: float) -> Config:
    """Return the configuration with epochs, widths and all cadences multiplied by `scale`.

    The number of evaluations stays the same, and at least one step is made. Widths are rounded to
    multiples of 8, and do not fall below 8; those that are not multiples of 8 (in the controls with
    twice the parameters) are rounded to integers.
    """
    if scale == 1:
        return config

    def epochs(value: float) -> float:
        return value and max(1e-6, float(f"{value * scale:.9g}"))  # 0.3, not 0.30000000000000004

    def width(value: int) -> int:
        unit = 1 if value % WIDTH_MULTIPLE else WIDTH_MULTIPLE
        return min(value, max(WIDTH_MULTIPLE, unit * round(value * scale / unit)))

    flat = configs.flatten(configs.to_dict(config))
    changes = {key: epochs(value) for key, value in flat.items() if key.endswith("epochs")}
    changes |= {key: width(value) for key, value in flat.items() if key.endswith("_width")}
    return configs.from_dict(configs.nested(changes), config)
