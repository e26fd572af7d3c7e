"""A study as one page: a file that needs no network, no script, and nothing beside it."""

from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from d3gan.report import svg, wording
from d3gan.report.chart import Comparison, Runs, figure_of, styles
from d3gan.report.charts import study_charts
from d3gan.report.markup import Html, tag
from d3gan.report.provenance import configs_part, contract_part, environment_part, runs_part
from d3gan.report.results import curves_part, quality_part, target_part, verdict_part
from d3gan.report.training_parts import choice_part, cost_part, losses_part, samples_part
from d3gan.runs import write_text, writing

# Nothing is loaded and nothing runs, whatever a name in the page may say.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write_page(comparison: Comparison, runs: Runs, file: Path, *, title: str) -> None:
    """Write the page of a study to `file`, whole or not at all.

    `comparison` is what `d3gan.study.compare.compare` gives; `runs` holds its run folders by
    method, in its order. What is missing is told in its place. Raises UserError if `file` cannot be
    written, or a run's files are damaged.
    """
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    text = page(comparison, runs, title=title)
    with writing(file):
        write_text(file, text)


def write_plots(comparison: Comparison, runs: Runs, folder: Path) -> list[Path]:
    """Write each chart as a PNG file into `folder`. Raises UserError if it cannot be written."""
    files = []
    with writing(folder), svg.drawing():
        folder.mkdir(parents=True, exist_ok=True)
        for chart in (chart for part in study_charts(comparison, runs).values() for chart in part):
            files.append(folder / f"{chart.name}.png")
            figure = figure_of(chart, comparison, whole=True)
            figure.savefig(files[-1], dpi=150, metadata={"Software": None})
    return files


def page(comparison: Comparison, runs: Runs, *, title: str) -> str:
    """The page's text. The same for the same runs, to the last byte."""
    charts = study_charts(comparison, runs)
    look = styles(comparison)
    curves, target, choice, cost = (charts[p] for p in ("quality", "target", "choice", "cost"))
    parts: list[tuple[str, str, str, Html]] = [
        ("verdict", "Verdict", "Verdict", verdict_part(comparison)),
        ("quality", "Quality", "Quality at equal budgets", quality_part(comparison, look)),
        ("curves", "Curves", "Quality during training", curves_part(comparison, curves, look)),
        ("target", "Target", "Time to the target", target_part(comparison, target, look)),
        ("samples", "Samples", "Samples", samples_part(comparison, runs, look)),
        ("losses", "Losses", "Losses", losses_part(comparison, charts["losses"])),
        ("choice", "Choice", "Choice of discriminator", choice_part(comparison, choice, look)),
        ("cost", "Speed", "Speed and memory", cost_part(comparison, cost, look)),
        ("runs", "Runs", "How the runs went", runs_part(comparison, look)),
        ("configs", "Configs", "Configurations", configs_part(comparison, look)),
        ("environment", "Environment", "Environment", environment_part(runs)),
        (
            "contract",
            "EvaluationProtocol",
            "EvaluationProtocol of the metrics",
            contract_part(comparison),
        ),
    ]
    sections = [
        tag(
            "section",
            tag("h2", heading, id=f"{key}-heading"),
            body,
            id=key,
            class_="verdict-box" if key == "verdict" else None,
            aria_labelledby=f"{key}-heading",
        )
        for key, _, heading, body in parts
    ]
    links = [tag("li", tag("a", short, href=f"#{key}")) for key, short, _, _ in parts]
    style = resources.files("d3gan.report").joinpath("page.css").read_text(encoding="utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Html(style)),
    )
    body = tag(
        "body",
        tag("a", "Skip to the verdict", href="#verdict", class_="skip"),
        tag("header", tag("h1", title), _subtitle(comparison), tag(
            "nav", tag("ul", *links), aria_label="Parts of this page"
        )),
        tag("main", *sections),
        tag("footer", tag("p", f"Made by d3gan{_version()} from the files of the runs. "
                               "This page is whole in itself: it loads nothing and runs nothing.")),
    )  # fmt: skip
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _version() -> str:
    try:
        return f" {version('d3gan')}"
    except PackageNotFoundError:
        return ""


def _seeds(comparison: Comparison) -> str:
    """How many seeds the methods have: ``4 seeds``, or ``3 to 5 seeds``."""
    counts = [len(entries) for entries in comparison["runs"].values()] or [0]
    few, many = min(counts), max(counts)
    return wording.plural(many, "seed") if few == many else f"{few} to {many} seeds"


def _subtitle(comparison: Comparison) -> Html:
    methods = wording.plural(len(comparison["runs"]), "method")
    runs = wording.plural(sum(map(len, comparison["runs"].values())), "run")
    metric = wording.metric_title(comparison["metric"])
    return tag(
        "p",
        f"{methods}, {runs}, {_seeds(comparison)} each. Compared by {metric}: "
        f"{comparison.get('better', 'lower')} is better.",
        class_="faint",
    )
