"""Write a study as one self-contained HTML page, or its charts as PNG files."""

import base64
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

import jinja2

from d3gan.files import write_text, writing
from d3gan.report import sample_grids, tables, wording
from d3gan.report.chart import drawing, figure_of, inline_svg, styles
from d3gan.report.charts import every_chart, quality_charts, training_charts, wide
from d3gan.report.comparison import Comparison, Runs, completed, has_primary
from d3gan.report.environment import environment
from d3gan.report.judgement_tables import judgement_tables

POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Content-Security-Policy of the page: nothing is loaded and no script runs."""


def write_page(comparison: Comparison, runs: Runs, file: Path, *, title: str) -> None:
    """Write the page of a study to `file` atomically.

    `comparison` is the result of `d3gan.study.compare.compare`; `runs` holds its run folders by
    method, in the same order. The page names what is missing. Raises UserError if `file` cannot be
    written or a run's files are damaged.
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
            figure = figure_of(chart, titled=True)
            figure.savefig(files[-1], dpi=150, metadata={"Software": None})
    return files


def page(comparison: Comparison, runs: Runs, *, title: str) -> str:
    """Return the text of the page; the same runs give the same text."""
    comparison = completed(comparison)
    every = [run for entries in comparison["runs"].values() for run in entries]
    budget = comparison["at"].get("images")
    judgement = comparison["judgement"]
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
        problems=tables.problems(comparison),
        not_recorded=tables.costs_not_recorded(comparison),
        outcomes=tables.outcomes(every),
        environment=environment(runs),
        sheets=sample_grids.sheets(runs, budget),
        film=sample_grids.film(runs, budget),
    )  # fmt: skip


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
    few, many = min(counts, default=0), max(counts, default=0)
    seeds = wording.plural(many, "seed") if few == many else f"{few} to {many} seeds"
    methods, runs = wording.plural(len(counts), "method"), wording.plural(sum(counts), "run")
    metric = wording.metric_title(comparison["metric"])
    better = f"{comparison['better']} is better"
    return f"{methods}, {runs}, {seeds} per method. Methods are compared by {metric}; {better}."
