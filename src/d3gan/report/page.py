"""Write a study as one self-contained HTML page, or its charts as PNG files."""

import base64
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

import jinja2

from d3gan.files import write_text, writing
from d3gan.outputs import MARK, check_replaceable
from d3gan.report import sample_grids, tables, wording
from d3gan.report.chart import drawing, figure_of, inline_svg, styles
from d3gan.report.charts import every_chart, quality_charts, training_charts, wide
from d3gan.report.comparison import Comparison, Runs, completed, has_primary, with_unjudged
from d3gan.report.environment import environment
from d3gan.report.judgement_tables import judgement_tables
from d3gan.report.sample_grids import Sheet
from d3gan.runs import RunFolder

POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Content-Security-Policy of the page: nothing is loaded and no script runs."""


def write_page(comparison: Comparison, runs: Runs, file: Path, *, title: str) -> None:
    """Write the page of a study to `file` atomically.

    `comparison` is the result of `d3gan.study.compare.compare`; `runs` holds its run folders by
    method (`comparison.run_folders`). The page names what is missing. Raises UserError if `file`
    cannot be written.
    """
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    text = page(comparison, runs, title=title)
    with writing(file):
        write_text(file, text)


def write_plots(comparison: Comparison, runs: Runs, folder: Path) -> list[Path]:
    """Write each chart as a PNG file into `folder`. Raises UserError if it cannot be written."""
    comparison = completed(comparison)
    files = []
    with writing(folder), drawing():
        folder.mkdir(parents=True, exist_ok=True)
        for chart in every_chart(comparison, runs):
            files.append(folder / f"{chart.name}.png")
            check_replaceable(files[-1])
            figure = figure_of(chart, titled=True)
            figure.savefig(files[-1], dpi=150, metadata={"Software": MARK})
    return files


def page(comparison: Comparison, runs: Runs, *, title: str) -> str:
    """Return the text of the page; the same runs give the same text."""
    comparison = completed(comparison)
    every_run = with_unjudged(comparison)
    entries = [run for of_method in every_run["runs"].values() for run in of_method]
    budget = comparison["at"].get("images")
    judgement = comparison["judgement"]
    compared = {name: runs.get(name, ()) for name in comparison["runs"]}
    sheets = sample_grids.sheets(compared, budget) if len(compared) > 1 else {}
    shown = [sheet for sheet in sheets.values() if sheet.picture]
    return _templates().get_template("page.html.j2").render(
        title=title,
        policy=POLICY,
        version=version("d3gan"),
        subtitle=_subtitle(comparison),
        headline=judgement["headline"],
        sentences=[one for one in judgement["sentences"] if one != judgement["headline"]],
        has_primary=has_primary(comparison),
        left_out=judgement["left_out"],
        comparison=comparison,
        styles=styles(comparison),
        quality=quality_charts(comparison),
        charts=training_charts(comparison, runs),
        judged=judgement_tables(comparison),
        tables=tables.study_tables(comparison),
        differences=tables.differences(comparison),
        configurations=tables.configurations(comparison),
        problems=tables.problems(every_run),
        not_recorded=tables.costs_not_recorded(every_run),
        outcomes=tables.outcomes(entries),
        environment=environment(runs),
        sheets=sheets,
        shown=shown,
        newest=sample_grids.newest(_recent(comparison, runs, shown), shown),
        style_of_run={
            folder.path: (name, styles(comparison)[name])
            for name, folders in runs.items()
            for folder in folders
        },
        film=sample_grids.film(compared if compared else runs, budget),
        damaged=_shown_despite_damage(comparison),
    )  # fmt: skip


def _recent(comparison: Comparison, runs: Runs, shown: Sequence[Sheet]) -> list[RunFolder]:
    """Return the runs whose newest samples are shown: those of the sheets, and all that have not
    finished or are not judged; without sheets all runs."""
    if not shown:
        return [folder for folders in runs.values() for folder in folders]
    of_sheets = {str(sample_grids.run_path(sheet)) for sheet in shown}
    finished = {
        run["path"]
        for of_method in comparison["runs"].values()
        for run in of_method
        if run.get("path") and run.get("status") != "unfinished"
    }
    return [
        folder
        for folders in runs.values()
        for folder in folders
        if str(folder.path) in of_sheets or str(folder.path) not in finished
    ]


def _shown_despite_damage(comparison: Comparison) -> list[str]:
    """Return a line for each run that is shown although one of its files is damaged."""
    left_out = comparison["judgement"]["left_out"]
    return [
        f"{run['name']} {run['reason']}" for run in comparison["damaged"] if run not in left_out
    ]


@cache
def _templates() -> jinja2.Environment:
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("d3gan.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters |= {
        "base64": lambda content: base64.b64encode(content).decode("ascii"),
        "listed": wording.listed,
        "svg": inline_svg,
        "wide": wide,
        "quantity": wording.quantity,
    }
    return templates


def _subtitle(comparison: Comparison) -> str:
    counts = [len(entries) for entries in comparison["runs"].values()]
    others = sum(map(len, comparison["unjudged"].values()))
    if not counts:
        return f"{wording.plural(others, 'run')}, none of which can be compared yet."
    few, many = min(counts, default=0), max(counts, default=0)
    seeds = wording.plural(many, "seed") if few == many else f"{few} to {many} seeds"
    methods, runs = wording.plural(len(counts), "method"), wording.plural(sum(counts), "run")
    metric = wording.metric_title(comparison["metric"])
    better = f"{comparison['better']} is better"
    more = f", and {wording.plural(others, 'run')} that cannot be compared" if others else ""
    text = f"{methods}, {runs}, {seeds} per method{more}."
    return f"{text} Methods are compared by {metric}; {better}." if len(counts) > 1 else text
