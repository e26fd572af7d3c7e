"""How many seeds a study needs: the judge in simulated studies with the noise of its pilot runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from d3gan import config as configs
from d3gan.errors import UserError
from d3gan.evaluation.metrics.names import metric_names
from d3gan.study.learned import has_learned
from d3gan.study.pilot import Pilot, pooled_pilot, reached_at_first, read_runs
from d3gan.study.plan import PlannedRun, Study, is_done
from d3gan.study.question import Primary
from d3gan.study.records import Metric, Record, load
from d3gan.study.sentences import learned_nothing
from d3gan.study.simulation import Design, Truth, tally

SEEDS = (3, 5, 8, 12, 20)
"""Numbers of seeds that are simulated."""
STUDIES = 200
"""Simulated studies of each number of seeds and each truth."""


@dataclass(frozen=True)
class Power:
    """What the judge would say of a study with so many seeds, as shares of simulated studies."""

    seeds: int
    faster: float
    """"faster" if the method has the effect."""
    equivalent: float
    """"equivalent" if the methods do not differ."""
    false_claims: float
    """"faster" or "slower" if the methods do not differ."""


def simulated_power(
    pilot: Pilot, primary: Primary, margin: float, pilots: int, effect: float
) -> Iterator[Power]:
    """Yield the power for each of SEEDS; `pilots` is the number of the baseline's pilot runs, and
    `effect` how many times as fast the method is."""
    for seeds in SEEDS:
        design = Design(seeds, primary.target, margin, pilots)
        found = tally(pilot, Truth(speed=effect), design, STUDIES)
        equal = tally(pilot, Truth(), design, STUDIES, seed=1)
        yield Power(
            seeds,
            found.share("faster"),
            equal.share("equivalent"),
            equal.share("faster", "slower"),
        )


def check_power(study: Study, effect: float) -> Primary:
    """Return the primary comparison. Raises UserError if the study has none or no pilot runs."""
    if not effect > 1:
        raise UserError(
            f"effect = {effect:g}: must be above 1, how many times as fast the method is"
        )
    if len(study.question.pilot_seeds) < 2:
        raise UserError(
            f"pilot_seeds = {list(study.question.pilot_seeds)}: --power simulates runs that vary "
            "as pilot runs do, so it needs at least two pilot seeds, which must be trained first: "
            "add --pilot-seeds 100 101 102, train them with --pilot-only, then use --power"
        )
    if not study.question.primary:
        raise UserError("--power simulates the primary comparison; name it with --primary METHOD")
    return study.question.primary


def study_pilot(study: Study, primary: Primary, command: str) -> Pilot:
    """Return the noise of the study's pilot runs.

    Raises UserError if a pilot run is missing, which `command` trains, if the baseline learned
    nothing, or if most runs of a method reach the target by their first evaluation.
    """
    runs = [run for run in study.runs if run.pilot]
    missing = [run.name for run in runs if not is_over(run)]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(runs)} pilot runs are not trained ({', '.join(missing)}); "
            f"train them with `{command}`"
        )
    records: dict[str, list[Record]] = {}
    for run in runs:
        records.setdefault(run.method, []).append(load(run.folder))
    baseline = baseline_of(study, primary)
    metric = _metric(study, records[baseline])
    learned = has_learned(records[baseline], metric)
    if learned.learned is False:
        why = learned_nothing(baseline, learned, metric).rstrip(".")
        raise UserError(f"--power needs pilot runs that learned: {why}")
    read = {name: read_runs(name, found, metric, primary.clock) for name, found in records.items()}
    for name in (primary.method, baseline):
        early = reached_at_first(read[name], read[baseline], primary.target)
        if 2 * early > len(read[name].seeds):
            raise UserError(
                f"--power needs the time to the target, but {early} of {len(read[name].seeds)} "
                f"pilot runs of {name} reach it by their first evaluation; train pilot runs that "
                "are evaluated more often (a smaller --eval.every-epochs)"
            )
    others = {name: found for name, found in read.items() if name not in (baseline, primary.method)}
    return pooled_pilot(read[baseline], read[primary.method], others, primary.target)


def is_over(run: PlannedRun) -> bool:
    """Return whether a run finished or diverged. Raises UserError if it is not the planned one."""
    status = run.folder.status()
    return status is not None and (is_done(run) or status.state == "diverged")


def baseline_of(study: Study, primary: Primary) -> str:
    """Return the baseline's method that has the varied values of the primary's."""
    varied = {run.method: _varied(study, run) for run in study.runs if run.pilot}
    same = [name for name in varied if varied[name] == varied[primary.method]]
    return next(name for name in same if name.startswith(study.question.baseline))


def _varied(study: Study, run: PlannedRun) -> list[object]:
    flat = configs.flatten(configs.to_dict(run.config))
    return [flat[key] for key in study.question.vary]


def _metric(study: Study, records: Sequence[Record]) -> Metric:
    name = study.question.metric or records[0].monitored
    return Metric(name, metric_names(records[0].config.eval.features)[name])


def hours(study: Study, seconds: Mapping[str, float], seeds: int) -> float:
    """Return the hours that all methods take with so many seeds, one run after another; `seconds`
    are those of a run, by method."""
    return seeds * sum(seconds[method] for method in study.methods) / 3600
