"""d3gan report, and how a comparison ends wherever it is made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.table import Table

from d3gan.cli.parsing import check_output, parse
from d3gan.cli.printing import STANDARD_OUTPUT, check_json, print_table, write_json
from d3gan.errors import UserError
from d3gan.report.page import write_page, write_plots
from d3gan.runs import RunFolder
from d3gan.study.compare import compare


@dataclass(frozen=True)
class Report:
    """Compare runs on one page: verdict, tables, curves, samples, settings."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Folders of runs, or folders that hold some. Runs that differ only in their seed are one
    method."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"])] = ""
    """The page; not given: report.html, in the folder that was named if it was one. With --format
    png a folder for the plots; not given: plots."""
    format: Literal["html", "png"] = "html"
    """png: each plot as a file."""
    baseline: str = ""
    """The method that the others are compared with; not given: that of the first run."""
    metric: str = ""
    """What is compared; not given: what the runs monitored (eval.monitor)."""
    json: str = ""
    """Write the comparison to this file; -: to standard output, and nothing else."""


def report(arguments: list[str]) -> int:
    """Make a report of runs."""
    options: Report = parse(Report, arguments, "report")
    check_json(options.json)
    html = options.format == "html"
    if html and options.output:
        check_output(Path(options.output), (".html",))
    runs = [run for path in options.runs for run in _runs_in(path)]
    here = options.runs[0] if len(options.runs) == 1 else Path()
    output = Path(options.output) if options.output else here / ("report.html" if html else "plots")
    comparison = concluded(
        runs,
        output,
        title=", ".join(path.resolve().name for path in options.runs),
        metric=options.metric,
        baseline=options.baseline,
        plots=not html,
    )
    write_json(comparison, options.json)
    if options.json != STANDARD_OUTPUT:
        tell_conclusion(comparison, output)
    return 0


def _runs_in(path: Path) -> list[RunFolder]:
    """The run at `path`, or those in the folder, by name. Raises UserError if there is none."""
    run = RunFolder(path)
    if run.exists():
        return [run]
    inside = [RunFolder(folder) for folder in sorted(path.iterdir())] if path.is_dir() else []
    found = [run for run in inside if run.exists()]
    if not found:
        raise UserError(f"there is no run at {path} nor in it (no config.toml)")
    return found


def concluded(
    runs: Sequence[RunFolder],
    output: Path,
    *,
    title: str,
    metric: str = "",
    baseline: str = "",
    plots: bool = False,
) -> dict[str, Any]:
    """The comparison of runs, and its page, or its plots in a folder. Raises UserError."""
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


def tell_conclusion(comparison: Mapping[str, Any], output: Path) -> None:
    """Print the table, what it says, and where the rest is."""
    print_table(result_table(comparison))
    verdicts = "\n".join(comparison["verdicts"].values()) or comparison["verdict"]
    print(f"\n{verdicts}\nreport: {output}")


def result_table(comparison: Mapping[str, Any]) -> Table:
    """The compared metric of each method, and its speed-up; fits into 80 columns."""
    metric = comparison["metric"]
    table = Table("method", box=None)
    for heading in ("seeds", metric, "95 %", "speed-up", "95 %"):
        table.add_column(heading, justify="right")
    for method, numbers in comparison["methods"].items():
        found = numbers.get(metric, {})
        faster = comparison["speedup"].get(f"{method} over {comparison['baseline']}", {})
        table.add_row(
            method,
            str(found.get("seeds", 0)),
            _number_or_dash(found.get("mean")),
            _interval(found),
            _speedup(faster),
            _interval(faster),
        )
    return table


def _speedup(found: Mapping[str, Any]) -> str:
    bounded = found.get("seconds", {}).get("censored")  # a run never came to that quality
    return ("at most " if bounded else "") + _number_or_dash(found.get("mean"))


def _number_or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _interval(found: Mapping[str, Any]) -> str:
    low, high = found.get("low"), found.get("high")
    return "-" if low is None or high is None else f"{low:.4g} to {high:.4g}"
