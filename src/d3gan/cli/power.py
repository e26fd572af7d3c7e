"""d3gan compare --power."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from d3gan.cli.printing import STANDARD_OUTPUT, in_lines, make_table, print_table, write_json
from d3gan.config import Config
from d3gan.progress import duration
from d3gan.report.wording import AXES
from d3gan.study.plan import PlannedRun, Study, planned_steps
from d3gan.study.power import (
    STUDIES,
    Power,
    baseline_of,
    check_power,
    hours,
    is_over,
    simulated_power,
    study_pilot,
)

WARM_UP = 2
STEPS = 5
"""Steps that are timed where no run was trained on this machine."""


def print_power(study: Study, effect: float, command: str, json: str) -> None:
    """Print what the judge would say of the study with several numbers of seeds.

    `command` trains the pilot runs. Raises UserError if one is missing.
    """
    primary = check_power(study, effect)
    pilot = study_pilot(study, primary, command)
    pilots = len(study.question.pilot_seeds)
    rows = list(simulated_power(pilot, primary, study.question.margin, pilots, effect))
    seconds, timed = run_seconds(study)
    result = {
        "method": primary.method,
        "baseline": baseline_of(study, primary),
        "clock": primary.clock,
        "target": primary.target,
        "margin": study.question.margin,
        "effect": effect,
        "pilot_seeds": list(study.question.pilot_seeds),
        "studies": STUDIES,
        "rows": [asdict(row) | {"hours": hours(study, seconds, row.seeds)} for row in rows],
        "run_seconds": seconds,
        "timed_here": timed,
    }
    write_json(result, json)
    if json != STANDARD_OUTPUT:
        _print(result, rows)


def _print(result: Mapping[str, Any], rows: list[Power]) -> None:
    method, baseline = result["method"], result["baseline"]
    text = (
        f"How many seeds does a comparison of {method} with {baseline} need? Each row shows how "
        f"often {result['studies']} simulated studies come to a result, whose runs vary as those "
        f"of the {len(result['pilot_seeds'])} pilot seeds do. They compare the "
        f"{AXES[result['clock']]} until the metric is within a factor of {result['target']:g} of "
        f"the best value that {baseline} reaches (its plateau)."
    )
    print(in_lines(text))
    table = make_table(
        "seeds of\neach method",
        f'result "faster"\nif it is {result["effect"]:g}\ntimes as fast',
        'result\n"equivalent"\nif they are equal',
        'wrong result\n"faster" or "slower"\nif they are equal',
        "time of\nall runs",
    )
    for row, values in zip(rows, result["rows"], strict=True):
        table.add_row(
            str(row.seeds),
            *(f"{share:.0%}" for share in (row.faster, row.equivalent, row.false_claims)),
            duration(3600 * values["hours"]),
        )
    print_table(table)
    print(in_lines(_about_time(result)))


def _about_time(result: Mapping[str, Any]) -> str:
    methods, timed = len(result["run_seconds"]), result["timed_here"]
    text = f"Time of all runs: the judged runs of {methods} methods, one run after another; "
    measured = [name for name in result["run_seconds"] if name not in timed]
    if measured:
        text += (
            f"{', '.join(measured)} as {'their' if len(measured) > 1 else 'its'} finished runs took"
        )
    if timed:
        also = "; " if measured else ""
        text += (
            f"{also}{', '.join(timed)} estimated from {STEPS} steps timed now, "
            "without evaluations, since no run was trained on this machine"
        )
    return text + "."


def run_seconds(study: Study) -> tuple[dict[str, float], list[str]]:
    """Return the seconds of a run of each method on this machine, and the names of the methods for
    which steps were timed because no run of them was trained here."""
    from d3gan.training.environment import environment

    here = environment()
    seconds, timed = {}, []
    for method in study.methods:
        runs = [run for run in study.runs if run.method == method]
        known = [spent for run in runs if (spent := _spent_here(run, here)) is not None]
        if not known:
            timed.append(method)
        seconds[method] = sum(known) / len(known) if known else _timed(runs[0])
    return seconds, timed


def _spent_here(run: PlannedRun, here: Mapping[str, Any]) -> float | None:
    """Return the seconds of training and evaluation of a run that finished on this machine."""
    if not is_over(run):
        return None
    where = run.folder.sessions()
    if not where or any(session.get(k) != here[k] for session in where for k in ("cpu", "gpus")):
        return None
    status = run.folder.status()
    if status is None or not status.finished:
        return None
    evaluating: float = sum(row.get("eval_seconds", 0.0) for row in run.folder.metrics())
    return status.train_seconds + evaluating


def _timed(run: PlannedRun) -> float:
    """Return the seconds that the steps of a run take, from a few of them."""
    from d3gan.bench.timing import make_trainer, timed_steps, warmed_up
    from d3gan.data.cache import load_images
    from d3gan.training import distributed

    config: Config = run.config
    with distributed.process_group(config.train.device) as device:
        trainer = make_trainer("d3gan", config, load_images(config.data), device)
        warmed_up(trainer, WARM_UP)
        return timed_steps(trainer, STEPS) / STEPS * planned_steps(run)
