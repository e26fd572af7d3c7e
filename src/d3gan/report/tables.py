"""Prepare the tables of a page as plain data, which the template renders."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from d3gan.report import wording
from d3gan.report.chart import Style, styles
from d3gan.report.comparison import (
    BUDGETS,
    Comparison,
    groups,
    in_group,
    run_values,
    with_unjudged,
)
from d3gan.report.training_charts import COSTS, mean_shares
from d3gan.report.wording import UNKNOWN


@dataclass(frozen=True)
class Cell:
    """Text of a table's cell and how it looks."""

    text: str
    look: Literal["plain", "best", "strong", "differs", "same", "code"] = "plain"
    style: Style | None = None
    """Style of the method that the text names; drawn before it."""
    note: str = ""
    """Small print after the text."""


Content = str | Cell | Sequence[Cell]
"""Content of a table's cell; several cells are shown one below the other."""
Rows = list[list[Content]]


@dataclass(frozen=True)
class Table:
    """A table. The first cell of each row is the row's heading."""

    caption: str
    heads: Sequence[Content]
    rows: Sequence[Sequence[Content]]
    kind: Literal["numbers", "words", "cards"] = "numbers"
    """On a phone, cards show each row as a list; others scroll sideways."""


def study_tables(comparison: Comparison) -> dict[str, Table]:
    """Return all tables of a comparison by their names; some may have no rows."""
    judged = (quality, all_metrics, protocol)
    every_run = with_unjudged(comparison)
    return {table.__name__: table(comparison) for table in judged} | {
        table.__name__: table(every_run) for table in (selection, costs, all_runs)
    }


def quality(comparison: Comparison) -> Table:
    """Return the compared metric of every method at each budget."""
    metric, better, at = comparison["metric"], comparison["better"], comparison["at"]
    look = _judged_styles(comparison)
    columns = []
    for key, _ in BUDGETS.values():
        numbers = comparison[key]
        columns.append({name: (numbers.get(name) or {}).get(metric) for name in look})
    rows: Rows = [
        [
            Cell(name, style=style),
            *(_estimate(name, metric, column, better) for column in columns),
            wording.count((columns[0][name] or {}).get("seeds")),
        ]
        for name, style in look.items()
    ]
    heads = [
        Cell(title, note=wording.amount(axis, at[axis]) if at.get(axis) else "")
        for axis, (_, title) in BUDGETS.items()
    ]
    title = f"{wording.metric_title(metric)}, {better} is better"
    return Table(title, ["method", *heads, "seeds"], rows, "cards")


def _judged_styles(comparison: Comparison) -> dict[str, Style]:
    """Return the styles of the methods that have judged runs."""
    return {name: style for name, style in styles(comparison).items() if name in comparison["runs"]}


def _estimate(name: str, metric: str, estimates: Mapping[str, Any], better: str) -> Cell:
    """Return the estimate of a method, marked if its mean is the best of several."""
    means = {n: e["mean"] for n, e in estimates.items() if e and e.get("mean") is not None}
    best = (max if better == "higher" else min)(means.values(), default=None)
    is_best = len(set(means.values())) > 1 and means.get(name) == best
    text = wording.interval(estimates.get(name), metric)
    return Cell(text, "best" if is_best else "plain")


def all_metrics(comparison: Comparison) -> Table:
    """Return all metrics of every method at equal images."""
    methods = {name: numbers or {} for name, numbers in comparison["methods"].items()}
    look = _judged_styles(comparison)
    rows: Rows = []
    for metric in dict.fromkeys(metric for numbers in methods.values() for metric in numbers):
        estimates = {name: methods.get(name, {}).get(metric) for name in look}
        better = next((e["better"] for e in estimates.values() if e and e.get("better")), "lower")
        heading = Cell(wording.metric_title(metric), note=f"{better} is better")
        rows.append([heading, *(_estimate(name, metric, estimates, better) for name in look)])
    images = comparison["at"].get("images")
    return Table(
        f"After {wording.amount('images', images)}" if images else "At equal images",
        ["metric", *(Cell(name, style=style) for name, style in look.items())],
        rows,
        "cards",
    )


def selection(comparison: Comparison) -> Table:
    """Return which discriminators the generator faced."""
    rows: Rows = []
    entropies = run_values(comparison, "selection_entropy")
    for name, of_runs in run_values(comparison, "chosen").items():
        known = [chosen for chosen in of_runs if chosen]
        count = min(map(len, known), default=0)
        config = comparison["configs"].get(name) or {}
        entropy = UNKNOWN
        if count == 1 or config.get("gan.discriminators") == 1:
            shares = "only one discriminator"
        elif not known:
            shares = "no selection: all discriminators are weighted"
        else:
            shares = mean_shares(known)
            mean = wording.number(wording.mean(entropies[name]))
            entropy = f"{mean} bits (maximum {math.log2(count):.3g})"
        rows.append([Cell(name, style=styles(comparison)[name]), shares, entropy])
    return Table(
        "Share of steps in which the generator faced each discriminator, mean over runs",
        ["method", "share of steps", "entropy within a run (mean)"],
        rows,
        "cards",
    )


def costs(comparison: Comparison) -> Table:
    """Return speed, memory and utilisation of every method."""
    values = [(about.words, run_values(comparison, key)) for key, about in COSTS.items()]
    rows: Rows = [
        [Cell(name, style=style), *(words(wording.mean(found[name])) for words, found in values)]
        for name, style in styles(comparison).items()
    ]
    heads = ["method", *(about.title.lower() for about in COSTS.values())]
    return Table("Means over runs", heads, rows, "cards")


def costs_not_recorded(comparison: Comparison) -> list[str]:
    """Return the titles of quantities that no run recorded."""
    return [
        about.title.lower()
        for key, about in COSTS.items()
        if not any(wording.finite(found) for found in run_values(comparison, key).values())
    ]


def status(run: Mapping[str, Any]) -> str:
    """Return how the run ended, in words: what it shows, or if it has not finished its state."""
    state = run.get("state")
    unfinished = run.get("status") == "unfinished" and state in ("running", "interrupted", "failed")
    return str((state if unfinished else run.get("status")) or UNKNOWN).replace("_", " ")


def _status_cell(run: Mapping[str, Any]) -> Cell:
    """Return the status of a run; how far it came and why it ended, if it has not finished."""
    steps, total = run.get("steps"), run.get("total_steps")
    note = f"at step {wording.count(steps)} of {wording.count(total)}" if total else ""
    if run.get("state") in ("failed", "diverged") and run.get("message"):
        note += f": {wording.shortened(run['message'], 120)}"
    over = run.get("state") in ("finished", "stopped_early")
    return Cell(status(run), note="" if over else note)


def outcomes(runs: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """Return how many runs ended in each way."""
    return Counter(map(status, runs))


def problems(comparison: Comparison) -> list[str]:
    """Return for each method how many of its runs did not end as they should."""
    return [
        f"{count} of {wording.plural(len(entries), 'run')} of {name} "
        f"{'still running' if ending == 'running' else ending}"
        for name, entries in comparison["runs"].items()
        for ending, count in outcomes(entries).items()
        if ending not in ("finished", "stopped early", UNKNOWN)
    ]


def all_runs(comparison: Comparison) -> Table:
    """Return every run: its folder, how it ended, its values, and what it spent."""
    look, metric = styles(comparison), comparison["metric"]
    rows: Rows = []
    for name, entries in comparison["runs"].items():
        for run in entries:
            best, reported, steps = (
                run.get("best") or {},
                run.get("reported") or {},
                run.get("steps"),
            )
            rows.append([
                Cell(run.get("name") or name, style=look[name], note=run.get("path") or ""),
                UNKNOWN if run.get("seed") is None else str(run["seed"]),
                _status_cell(run),
                wording.plus_minus(reported.get(metric), reported.get(f"{metric}_stderr")),
                Cell(
                    wording.metric_value(metric, best.get("value")),
                    note=f"after {wording.amount('images', best['images'])}" if best else "",
                ),
                wording.duration(run.get("train_seconds")),
                Cell(wording.count(run.get("images")), note=f"{wording.count(steps)} steps"),
                wording.quantity(run.get("flops"), "FLOP"),
            ])  # fmt: skip
    heads: list[Content] = [
        "run", "seed", "status", Cell(f"reported {metric}", note="± standard error"),
        Cell(f"best {metric}", note="during training"), "training time", "images", "compute",
    ]  # fmt: skip
    return Table("All runs", heads, rows, "cards")


def differences(comparison: Comparison) -> list[Table]:
    """Return for each group the keys in which methods differ from its baseline, if any do."""
    tables = (_differences(comparison, group) for group in groups(comparison))
    return [table for table in tables if table.rows]


def _differences(comparison: Comparison, group: Mapping[str, Any]) -> Table:
    look, known = styles(comparison), comparison["differences"]
    others = {name: known[name] for name in group["methods"] if known.get(name)}
    bases = {key: pair[0] for found in others.values() for key, pair in found.items()}
    rows: Rows = []
    for key, base in bases.items():
        row: list[Content] = [Cell(key, "code"), wording.setting(base)]
        for found in others.values():
            differs = key in found
            row.append(
                Cell(wording.setting(found[key][1]), "differs") if differs else Cell("same", "same")
            )
        rows.append(row)
    heads = [Cell(group["baseline"], style=look.get(group["baseline"]), note="baseline")]
    heads += [Cell(name, style=look.get(name)) for name in others]
    caption = "Keys that change the result and differ from the baseline"
    return Table(in_group(caption, group), ["key", *heads], rows, "cards")


def configurations(comparison: Comparison) -> dict[str, Table]:
    """Return the full configuration of each method."""
    return {
        name: _settings(f"Configuration of {name}", "key", config)
        for name, config in comparison["configs"].items()
    }


def protocol(comparison: Comparison) -> Table:
    """Return the evaluation protocol."""
    found = {key.replace("_", " "): value for key, value in comparison["protocol"].items()}
    return _settings("Protocol of all evaluations", "property", found)


def _settings(caption: str, head: str, values: Mapping[str, object]) -> Table:
    look: Literal["code", "plain"] = "code" if head == "key" else "plain"
    known = {key: value for key, value in values.items() if value is not None}
    rows: Rows = [[Cell(key, look), wording.setting(value)] for key, value in known.items()]
    return Table(caption, [head, "value"], rows, "words")
