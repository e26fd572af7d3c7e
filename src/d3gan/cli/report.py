"""d3gan report, and the report at the end of d3gan compare and d3gan demo."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.table import Table

from d3gan.cli.parsing import check_output, parse
from d3gan.cli.printing import STANDARD_OUTPUT, check_json, make_table, print_table, write_json
from d3gan.errors import UserError
from d3gan.report import wording
from d3gan.runs import RunFolder


@dataclass(frozen=True)
class Report:
    """Compare runs on one page: verdict, tables, curves, samples, settings."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Run folders, or folders that contain some. Runs that differ only in their seed are one
    method."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"])] = ""
    """File of the page; default: report.html, in the folder given if there is only one. With
    --format png: folder of the plots; default: plots."""
    format: Literal["html", "png"] = "html"
    """html: one page; png: one file for each plot."""
    baseline: str = ""
    """The method that the others are compared with; default: that of the first run."""
    metric: str = ""
    """The metric to compare; default: the one that the runs monitored (eval.monitor)."""
    json: str = ""
    """Write the comparison to this file; -: to standard output, and print nothing else."""


def report(arguments: list[str]) -> int:
    """Write a report on runs."""
    options: Report = parse(Report, arguments, "report")
    check_json(options.json)
    html = options.format == "html"
    if html and options.output:
        check_output(Path(options.output), (".html",))
    runs = [run for path in options.runs for run in _runs_in(path)]
    here = options.runs[0] if len(options.runs) == 1 else Path()
    output = Path(options.output) if options.output else here / ("report.html" if html else "plots")
    comparison = write_report(
        runs,
        output,
        title=", ".join(path.resolve().name for path in options.runs),
        metric=options.metric,
        baseline=options.baseline,
        plots=not html,
    )
    write_json(comparison, options.json)
    if options.json != STANDARD_OUTPUT:
        print_comparison(comparison, output)
    return 0


def _runs_in(path: Path) -> list[RunFolder]:
    """Return the run at `path`, or the runs in that folder by name. Raises UserError if there is
    none."""
    run = RunFolder(path)
    if run.exists():
        return [run]
    inside = [RunFolder(folder) for folder in sorted(path.iterdir())] if path.is_dir() else []
    found = [run for run in inside if run.exists()]
    if not found:
        raise UserError(f"there is no run at {path}, nor in that folder (no config.toml)")
    return found


def write_report(
    runs: Sequence[RunFolder],
    output: Path,
    *,
    title: str,
    metric: str = "",
    baseline: str = "",
    plots: bool = False,
) -> dict[str, Any]:
    """Compare runs, write the page (or the plots, into a folder) and return the comparison.

    Raises UserError.
    """
    from d3gan.report.page import write_page, write_plots  # importing matplotlib takes a second
    from d3gan.study.compare import compare

    comparison = compare(runs, metric=metric, baseline=baseline)
    by_method = {
        method: [RunFolder(Path(run["path"])) for run in of_method]
        for method, of_method in comparison["runs"].items()
    }
    if plots:
        write_plots(comparison, by_method, output)
    else:
        write_page(comparison, by_method, output, title=title)
    return comparison


def print_comparison(comparison: Mapping[str, Any], output: Path) -> None:
    """Print the table, the verdicts, the warnings, and the place of the report."""
    print_table(result_table(comparison))
    verdicts = "\n".join(comparison["verdicts"].values()) or comparison["verdict"]
    print(f"\n{verdicts}")
    for warning in comparison["warnings"]:
        print(f"Warning: {warning}.")
    print(f"report: {output}")


def result_table(comparison: Mapping[str, Any]) -> Table:
    """Return a table of each method's metric and speed-up, with 95 % confidence intervals."""
    metric = comparison["metric"]
    caption = "mean (95 % confidence interval)"
    table = make_table(
        "method", "seeds", metric, "speed-up", caption=caption, caption_justify="left"
    )
    for method, estimates in comparison["methods"].items():
        estimate = estimates.get(metric, {})
        speedup = comparison["speedup"].get(f"{method} over {comparison['baseline']}", {})
        table.add_row(
            method,
            str(estimate.get("seeds", 0)),
            wording.interval(estimate),
            wording.at_most(speedup.get("seconds", {})),
        )
    return table
