"""d3gan report, and the report at the end of d3gan compare and d3gan demo."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.table import Table

from d3gan.cli.parsing import check_output, parse
from d3gan.cli.printing import (
    STANDARD_OUTPUT,
    check_json,
    in_lines,
    make_table,
    print_table,
    write_json,
)
from d3gan.errors import UserError
from d3gan.messages import warn
from d3gan.outputs import check_replaceable
from d3gan.report import wording
from d3gan.run_places import mistaken_for_run
from d3gan.runs import RunFolder

if TYPE_CHECKING:
    from d3gan.study.question import Question


@dataclass(frozen=True)
class Report:
    """Compare runs on one page: what they show, tables, curves, samples, settings."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Run folders, or folders that contain some. Runs that differ only in their seed are one
    method."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"])] = ""
    """File of the page; default: report.html, in the folder given if there is only one. With
    --format png: folder of the plots; default: plots."""
    format: Literal["html", "png"] = "html"
    """html: one page; png: one file for each plot."""
    baseline: str = ""
    """The method that the others are compared with; default: the study's, otherwise the one with
    the fewest discriminators."""
    metric: str = ""
    """The metric to compare; default: the study's, otherwise the one that the runs monitored
    (eval.monitor)."""
    json: str = ""
    """Write the comparison as JSON to this file; with "-", print only that JSON."""


def report(arguments: list[str]) -> int:
    """Write a report on runs."""
    options: Report = parse(Report, arguments, "report")
    if not options.runs:
        raise UserError("missing argument: RUN ...; for example d3gan report runs/demo-d3gan")
    check_json(options.json)
    html = options.format == "html"
    if html and options.output:
        check_output(Path(options.output), (".html",))
        check_replaceable(Path(options.output))
    runs, question, notes = _asked(options)
    here = options.runs[0] if len(options.runs) == 1 else Path()
    output = Path(options.output) if options.output else here / ("report.html" if html else "plots")
    comparison = write_report(
        runs,
        output,
        title=", ".join(path.resolve().name for path in options.runs),
        question=question,
        notes=notes,
        plots=not html,
    )
    write_json(comparison, options.json)
    if options.json != STANDARD_OUTPUT:
        print_comparison(comparison, output)
    return 0


def _asked(options: Report) -> tuple[list[RunFolder], "Question", list[str]]:
    """Return the runs, what is asked of them, and warnings.

    The folder of a study says itself which runs it has and how they are judged. Raises UserError if
    there are no runs.
    """
    from d3gan.study.question import Question
    from d3gan.study.saved_study import load

    saved = load(options.runs[0]) if len(options.runs) == 1 else None
    if saved:
        folder = options.runs[0]
        runs, question, notes = saved.folders(folder), saved.question, saved.warnings(folder)
    else:
        runs, question, notes = [r for path in options.runs for r in _runs_at(path)], Question(), []
    if options.baseline not in ("", question.baseline):
        question = replace(question, baseline=options.baseline, primary=None)
    return runs, replace(question, metric=options.metric or question.metric), notes


def _runs_at(path: Path) -> list[RunFolder]:
    """Return the run at `path`, or the runs in that folder by name. Raises UserError if there is
    none."""
    from d3gan.study.saved_study import runs_in

    run = RunFolder(path)
    if run.exists():
        return [run]
    found = runs_in(path)
    if not found:
        why = (
            "neither it nor a folder in it has a config.toml" if path.exists() else "no such folder"
        )
        raise UserError(mistaken_for_run(path, "report") or f"there is no run at {path} ({why})")
    return found


def write_report(
    runs: Sequence[RunFolder],
    output: Path,
    *,
    title: str,
    question: "Question | None" = None,
    notes: Sequence[str] = (),
    plots: bool = False,
) -> dict[str, Any]:
    """Compare runs, write the page (or the plots, into a folder) and return the comparison.

    `question` says how the runs are judged, and `notes` are further warnings. Raises UserError.
    """
    from d3gan.report.comparison import run_folders
    from d3gan.report.page import write_page, write_plots  # importing matplotlib takes a second
    from d3gan.study.compare import compare

    comparison = compare(runs, question, notes)
    if plots:
        write_plots(comparison, run_folders(comparison), output)
    else:
        write_page(comparison, run_folders(comparison), output, title=title)
    return comparison


def print_comparison(comparison: Mapping[str, Any], output: Path) -> None:
    """Print the table, what the runs show, the warnings, the runs that are left out, and the place
    of the report."""
    judgement = comparison["judgement"]
    if comparison["methods"]:
        print_table(result_table(comparison))
        print(f"{in_lines(_caption(comparison))}\n")
    for sentence in judgement["sentences"]:
        print(in_lines(sentence))
    for warning in comparison["warnings"]:
        print(in_lines(f"Warning: {warning}."))
    damaged = comparison.get("damaged", ())
    for run in judgement["left_out"]:
        if run not in damaged:
            print(in_lines(f"Left out: {run['name']} {run['reason']}."))
    for run in damaged:
        warn(f"{run['name']} {run['reason']}")
    print(f"report: {output}")


def result_table(comparison: Mapping[str, Any]) -> Table:
    """Return a table of each method's metric at equal images, and of what the sentences say: the
    ratio of its time to the target, and the word."""
    metric = comparison["metric"]
    shown = _shown(comparison["judgement"])
    table = make_table("method", "seeds", metric, *(("ratio", "result") if shown else ()))
    for column in table.columns:
        column.overflow = "fold"
    for method, estimates in comparison["methods"].items():
        estimate = estimates.get(metric, {})
        low, high = estimate.get("low"), estimate.get("high")
        half = None if low is None or high is None else (high - low) / 2
        one = shown.get(method, {})
        table.add_row(
            method,
            str(len(comparison["runs"][method])),
            wording.plus_minus(estimate.get("mean"), half),
            *((wording.ratio_interval(one.get("time")), one.get("word", "")) if shown else ()),
        )
    return table


def _caption(comparison: Mapping[str, Any]) -> str:
    """Return what the columns of the table hold."""
    images = comparison["at"].get("images")
    when = f"after {wording.amount('images', images)}" if images else "at equal images"
    text = f"{comparison['metric']} {when}"
    if any(len(runs) > 1 for runs in comparison["runs"].values()):
        text += "; with 95 % confidence intervals"
    shown = list(_shown(comparison["judgement"]).values())
    if shown:
        whose = {one["baseline"] for one in shown}
        baseline = f"{shown[0]['baseline']}'s" if len(whose) == 1 else "the baseline's"
        clock = wording.AXES[shown[0]["clock"]]
        text += f"; ratio: {clock} until the target is reached, divided by {baseline}"
    return text


def _shown(judgement: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return for each method the comparison that its sentence is about: on the clock and with the
    target of the primary comparison, otherwise on the first ones."""
    every = [one for group in judgement["groups"] for one in group["comparisons"]]
    primary = next((one for one in every if one["primary"]), None)
    shown: dict[str, Mapping[str, Any]] = {}
    for one in every:
        first = primary or every[0]
        if (one["clock"], one["factor"]) == (first["clock"], first["factor"]):
            shown[one["method"]] = one
    return shown
