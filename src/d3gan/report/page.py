"""A study as one page: a file that needs no network, no script, and nothing beside it."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from d3gan.report import provenance, specimens, svg, wording
from d3gan.report.chart import Chart, Comparison, Runs, Style, amount, figure_of, styles
from d3gan.report.charts import study_charts
from d3gan.report.elements import data_uri, figures, legend, method, missing, table, unseen
from d3gan.report.markup import Html, joined, tag
from d3gan.runs import write_text, writing

# Nothing is loaded and nothing runs, whatever a name in the page may say.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

BUDGETS = {"images": "equal images", "seconds": "equal time", "flops": "equal compute"}
AT = {"images": "methods", "seconds": "at_equal_time", "flops": "at_equal_compute"}
"""Where a comparison holds the numbers at each budget."""


def write_page(comparison: Comparison, runs: Runs, file: Path, *, title: str) -> None:
    """Write the page of a study to `file`, whole or not at all.

    `comparison` is what `d3gan.study.comparison.compare` gives; `runs` holds its run folders by
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
    parts: list[tuple[str, str, str, Html]] = [
        ("verdict", "Verdict", "Verdict", _verdict(comparison)),
        ("quality", "Quality", "Quality at equal budgets", _quality(comparison, look)),
        (
            "curves",
            "Curves",
            "Quality during training",
            _curves(comparison, charts["quality"], look),
        ),
        ("target", "Target", "Time to the target", _target(comparison, charts["target"], look)),
        ("samples", "Samples", "Samples", _samples(comparison, runs, look)),
        ("losses", "Losses", "Losses", _losses(comparison, charts["losses"])),
        (
            "choice",
            "Choice",
            "Choice of discriminator",
            _choice(comparison, charts["choice"], look),
        ),
        ("cost", "Speed", "Speed and memory", _cost(comparison, charts["cost"], look)),
        ("runs", "Runs", "How the runs went", provenance.runs_part(comparison, look)),
        ("configs", "Configs", "Configurations", provenance.configs_part(comparison, look)),
        ("environment", "Environment", "Environment", provenance.environment_part(runs)),
        ("contract", "Contract", "Contract of the metrics", provenance.contract_part(comparison)),
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


# Parts of the page


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


def _verdict(comparison: Comparison) -> Html:
    budgets = comparison.get("at") or {}
    facts = [
        tag("div", tag("dt", f"Compared at {label}"), tag("dd", amount(key, budgets[key])))
        for key, label in BUDGETS.items()
        if budgets.get(key) is not None
    ]
    target = comparison.get("target") or {}
    if target.get("value") is not None:
        told = f"{comparison['metric']} {wording.number(target['value'])}"
        facts.append(tag("div", tag("dt", "Target"), tag("dd", told)))
    return joined(
        *_headline(comparison.get("verdict") or "No verdict was given."),
        _troubles(comparison),
        tag("dl", *facts, class_="facts") if facts else None,
        _speedups(comparison),
    )


def _headline(verdict: str) -> list[Html]:
    """One sentence large; several, as of a study of many methods, each by itself."""
    sentences = re.split(r"(?<=\.) ", verdict)
    kind = "verdict" if len(sentences) == 1 else "verdict one-of-several"
    return [tag("p", sentence, class_=kind) for sentence in sentences]


def _troubles(comparison: Comparison) -> Html | None:
    told = []
    for name, entries in comparison["runs"].items():
        for status in ("unfinished", "diverged", "collapsed"):
            count = sum(run.get("status") == status for run in entries)
            if count:
                told.append(f"{count} of {wording.plural(len(entries), 'run')} of {name} {status}")
    return tag("p", f"Not all went well: {'; '.join(told)}.", class_="warning") if told else None


def _speedups(comparison: Comparison) -> Html:
    speedups = comparison.get("speedup") or {}
    if not speedups:
        return missing(
            "No speed-up to tell: there is one method only, or there are no pairs of runs."
        )
    rows = []
    for name, speedup in speedups.items():
        by = {key: speedup.get(key) or {} for key in BUDGETS}
        pairs = by["seconds"]
        rows.append([
            name,
            *(wording.at_most(by[key]) for key in BUDGETS),
            wording.count(pairs.get("pairs")),
            wording.count(pairs.get("censored")),
        ])  # fmt: skip
    return joined(
        table(
            "Speed-up: how many times less one method needs to come to the best value of the other",
            ["methods", "images", "training time", "compute", "pairs of seeds", "never got there"],
            rows,
        ),
        tag(
            "p",
            "Geometric mean over pairs of runs with the same seed, with its 95 % interval. Above "
            "1: the first is faster. An interval that includes 1 shows nothing either way; where "
            "runs never got there, the mean is at most what is told.",
            class_="faint",
        ),
    )


def _quality(comparison: Comparison, look: Mapping[str, Style]) -> Html:
    metric, better = comparison["metric"], comparison.get("better", "lower")
    budgets = comparison.get("at") or {}
    columns = {
        key: {
            name: (numbers or {}).get(metric)
            for name, numbers in (comparison.get(AT[key]) or {}).items()
        }
        for key in BUDGETS
    }
    rows = [
        [
            method(name, look),
            *(_estimate(name, columns[key], better) for key in BUDGETS),
            wording.count((columns["images"].get(name) or {}).get("seeds")),
        ]
        for name in comparison["runs"]
    ]
    heads = [
        joined(label, tag("br"), amount(key, budgets[key])) if budgets.get(key) else label
        for key, label in BUDGETS.items()
    ]
    return joined(
        tag(
            "p",
            "Mean over seeds with its 95 % interval (Student's t), as mean (low to high). A method "
            "with one seed has no interval. The best mean is set in bold; that alone does not make "
            "it the better method.",
            class_="faint",
        ),
        table(
            f"{wording.metric_title(metric)}, {better} is better",
            ["method", *heads, "seeds"],
            rows,
        ),
        tag("h3", "All metrics at equal images"),
        _all_metrics(comparison, look),
    )


def _estimate(name: str, of_methods: Mapping[str, Any], better: str) -> object:
    estimate = of_methods.get(name)
    told = wording.interval(estimate)
    means = [e["mean"] for e in of_methods.values() if e and e.get("mean") is not None]
    best = min(means, default=None) if better == "lower" else max(means, default=None)
    if len(means) > 1 and estimate and estimate.get("mean") == best and len(set(means)) > 1:
        return joined(tag("strong", told), unseen(", the best mean"))
    return told


def _all_metrics(comparison: Comparison, look: Mapping[str, Style]) -> Html:
    methods = {name: numbers or {} for name, numbers in (comparison.get("methods") or {}).items()}
    metrics = list(dict.fromkeys(metric for numbers in methods.values() for metric in numbers))
    if not metrics:
        return missing("No method was evaluated at that many images.")
    rows = []
    for metric in metrics:
        estimates = {name: methods.get(name, {}).get(metric) for name in comparison["runs"]}
        better = next((e["better"] for e in estimates.values() if e and e.get("better")), "lower")
        heading = joined(
            wording.metric_title(metric), tag("br"), tag("small", f"{better} is better")
        )
        rows.append([heading, *(_estimate(name, estimates, better) for name in estimates)])
    images = (comparison.get("at") or {}).get("images")
    caption = f"After {amount('images', images)}" if images else "At equal images"
    return table(caption, ["metric", *(method(name, look) for name in comparison["runs"])], rows)


def _curves(comparison: Comparison, charts: Sequence[Chart], look: Mapping[str, Style]) -> Html:
    if not charts:
        return missing("No curves: the runs have no evaluations in common.")
    return joined(
        tag(
            "p",
            "Thick: the mean over seeds. Band: its 95 % interval, where there are two seeds or "
            "more. Thin: each seed.",
            class_="faint",
        ),
        legend(charts[0].methods, look),
        figures(charts, comparison),
    )


def _target(comparison: Comparison, charts: Sequence[Chart], look: Mapping[str, Style]) -> Html:
    target = comparison.get("target") or {}
    methods = comparison.get("time_to_target") or {}
    if target.get("value") is None or not methods:
        return missing("There is no target to reach: no run of the baseline was evaluated.")
    what = f" ({target['what']})" if target.get("what") else ""
    rows = [
        [
            method(name, look),
            f"{estimate['reached']} of {estimate['seeds']}",
            *(_median(estimate, key) for key in ("seconds", "images", "flops")),
        ]
        for name, estimate in methods.items()
    ]
    return joined(
        tag("p", f"The target is {comparison['metric']} "
                 f"{wording.number(target['value'])}{what}."),
        table(
            "Median over runs, with its 95 % interval where there are runs enough for one",
            ["method", "reached by", "training time", "images", "compute"],
            rows,
        ),
        figures(charts, comparison) if charts else None,
        tag(
            "p",
            "Runs that never reached the target are not left out: they count as needing longer "
            "than they were trained. Filled: a run at the moment it reached the target. Hollow: "
            "one that ended without. Upright line: the median; bar: its interval, open to the "
            "right where no end is known.",
            class_="faint",
        ),
    )  # fmt: skip


def _median(estimate: Mapping[str, Any], key: str) -> str:
    """A median with its interval, where each is known: ``5.5 min (5.2 to 5.9)``."""
    middle, low, high = (estimate.get(name) for name in (key, f"{key}_low", f"{key}_high"))
    if middle is None:
        return f"above {amount(key, low)}" if low is not None else "never, for half of them"
    told = amount(key, middle)
    if low is None:
        return told
    factor, _ = wording.unit_for(key, middle)
    ends = [wording.number(factor * end, factor * middle) for end in (low, high) if end is not None]
    return f"{told} ({' to '.join(ends)}{'' if high is not None else ' or more'})"


def _samples(comparison: Comparison, runs: Runs, look: Mapping[str, Style]) -> Html:
    budget = (comparison.get("at") or {}).get("images")
    sheets = specimens.sheets(runs, budget)
    if not any(sheet.picture for sheet in sheets.values()):
        return missing("The runs left no sample grids that can be shown.")
    grids = []
    for name, sheet in sheets.items():
        caption = tag("figcaption", method(name, look), tag("small", sheet.told))
        if sheet.picture:
            words = f"Grid of images generated by {name}, {sheet.told}"
            image = tag("img", src=data_uri(sheet.picture, "png"), alt=words,
                        width=sheet.size[0], height=sheet.size[1])  # fmt: skip
        else:
            image = missing(f"No sample grid of {name} can be shown.")
        grids.append(tag("figure", caption, image))
    shown = {sheet.images for sheet in sheets.values() if sheet.picture}
    equal = "at equal images" if len(shown) == 1 else "at the nearest that each has to equal images"
    return joined(
        tag("p", f"One run of each method, {equal}.", class_="faint"),
        tag("div", *grids, class_="sheets"),
        _film(runs, budget),
    )


def _film(runs: Runs, budget: float | None) -> Html:
    film = specimens.film(runs, budget)
    if film is None:
        return missing(
            "No animation: there are no two moments of training of which all runs have samples."
        )
    size = wording.quantity(len(film.content), "B")
    names = wording.listed(film.names)
    words = (
        f"Animation: images generated by {names} from the same latents during training, "
        f"from {film.first:,} to {film.last:,} images seen"
    )
    return tag(
        "details",
        tag("summary", f"Play the training as an animation ({film.frames} moments, {size})"),
        tag("img", src=data_uri(film.content, "gif"), alt=words,
            width=film.size[0], height=film.size[1]),
        class_="film",
    )  # fmt: skip


def _losses(comparison: Comparison, charts: Sequence[Chart]) -> Html:
    if not charts:
        return missing("The runs have no rows of losses.")
    return joined(
        tag(
            "p",
            "Thick and in colour: the generator's loss G, mean over seeds (thin: each seed). "
            "Without colour: the loss of each discriminator, real and generated part together. "
            "All charts have the same scale.",
            class_="faint",
        ),
        figures(charts, comparison),
    )


def _choice(comparison: Comparison, charts: Sequence[Chart], look: Mapping[str, Style]) -> Html:
    rows = []
    for name, entries in comparison["runs"].items():
        known = [run["chosen"] for run in entries if run.get("chosen")]
        entropy = wording.mean([run.get("selection_entropy") for run in entries])
        parts = min(map(len, known), default=0)
        if parts == 1 or comparison.get("configs", {}).get(name, {}).get("gan.discriminators") == 1:
            rows.append([method(name, look), "there is only one", wording.UNKNOWN])
            continue
        if not known:
            rows.append([method(name, look), "none is chosen: all are weighed", wording.UNKNOWN])
            continue
        means = [wording.percent(wording.mean([run[k] for run in known])) for k in range(parts)]
        shares = ", ".join(f"D{k + 1} {share}" for k, share in enumerate(means))
        told = f"{wording.number(entropy)} bits of at most {math.log2(parts):.3g}"
        rows.append([method(name, look), shares, told])
    return joined(
        table(
            "Which discriminator the generator faced, mean over runs",
            ["method", "share of steps", "selection entropy"],
            rows,
            words=True,
        ),
        figures(charts, comparison)
        if charts
        else missing("No method of this study chooses one of several discriminators."),
        tag(
            "p",
            "Each bar is a run; the dashed line marks an equal share. The entropy is 0 where one "
            "discriminator is always chosen, and greatest where all are chosen alike.",
            class_="faint",
        )
        if charts
        else None,
    )


def _cost(comparison: Comparison, charts: Sequence[Chart], look: Mapping[str, Style]) -> Html:
    columns: dict[str, tuple[str, Callable[[float | None], str]]] = {
        "images_per_second": ("images per second", wording.number),
        "epoch_seconds": ("time of an epoch", wording.duration),
        "peak_memory_bytes": ("peak memory", lambda value: wording.quantity(value, "B")),
        "utilisation": ("utilisation", wording.percent),
    }
    rows = [
        [
            method(name, look),
            *(
                words(wording.mean([run.get(key) for run in entries]))
                for key, (_, words) in columns.items()
            ),
        ]
        for name, entries in comparison["runs"].items()
    ]
    unknown = [
        label
        for key, (label, _) in columns.items()
        if all(run.get(key) is None for entries in comparison["runs"].values() for run in entries)
    ]
    return joined(
        table("Means over runs", ["method", *(label for label, _ in columns.values())], rows),
        missing(f"Not recorded by any run: {wording.listed(unknown)}.") if unknown else None,
        figures(charts, comparison) if charts else None,
        tag("p", "Bars: means over runs. Dots: each run.", class_="faint") if charts else None,
    )
