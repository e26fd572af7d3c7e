"""The look that all charts share, and their conversion to figures and inline SVG."""

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from d3gan.report.comparison import Comparison, groups
from d3gan.report.wording import shortened, tick

INK, FAINT, GRID, PAPER = "#1f2430", "#5c6470", "#d9dde3", "#ffffff"
# Okabe and Ito 2008: distinguishable with any colour vision; yellow is darkened for white paper.
METHOD_COLOURS: Final = (
    "#0072b2", "#d55e00", "#009e73", "#b1588f", "#b58900", "#3f97d1", "#7a4a21", "#6b7280",
)  # fmt: skip
CSS_COLOURS: Final = {
    INK: "var(--ink)", FAINT: "var(--faint)", GRID: "var(--grid)", PAPER: "var(--card)",
    **{colour: f"var(--method-{k})" for k, colour in enumerate(METHOD_COLOURS)},
}  # fmt: skip
MARKERS: Final = "osD^vP*X"
Line = Literal["-", "--", ":", "-."]
LINES: Final[tuple[Line, ...]] = ("-", "--", ":", "-.")

WIDTH, HEIGHT = 4.4, 3.0
"""Size of a chart in inches; small, so that its text stays readable on a phone."""

_SETTINGS: Final[Any] = {
    "svg.fonttype": "none",  # text stays text: searchable, read aloud, in the page's font
    "svg.hashsalt": "d3gan",  # the same ids every time
    "text.parse_math": False,  # a method may be called $x$
    "axes.unicode_minus": False,
    "font.size": 11,
}


@dataclass(frozen=True)
class Chart:
    """One plot with one pair of axes."""

    name: str
    """Name of its file and prefix of its ids."""
    title: str
    alt: str
    """The finding in words."""
    draw: Callable[[Axes], None]
    height: float = HEIGHT
    """Height in inches, without title and legend."""
    width: float = WIDTH
    """Width in inches."""


@dataclass(frozen=True)
class Style:
    """How a method is drawn."""

    colour: str
    line: Line
    """matplotlib's line style."""
    marker: str
    number: int
    """Index of the colour."""


def styles(comparison: Comparison) -> dict[str, Style]:
    """Return the style of each method, the same in all charts and tables.

    Methods of one group differ in colour, line and marker; the first is the baseline. Methods that
    are in no group have the styles after those of the largest group.
    """
    found = {}
    every = [group["methods"] for group in groups(comparison)]
    runs = [*comparison["runs"], *comparison.get("unjudged", ())]
    rest = [name for name in dict.fromkeys(runs) if not any(name in names for names in every)]
    used = max(map(len, every), default=0)
    for first, names in (*((0, names) for names in every), (used, rest)):
        for i, name in enumerate(names, start=first):
            repeat, k = divmod(i, len(METHOD_COLOURS))
            line = LINES[(i + repeat) % len(LINES)]
            found[name] = Style(METHOD_COLOURS[k], line, MARKERS[k], k)
    return found


@contextmanager
def drawing() -> Iterator[None]:
    """Set matplotlib up for charts: reproducible, without mathematics in names."""
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def empty_axes(width: float = WIDTH, height: float = HEIGHT) -> tuple[Figure, Axes]:
    """Return a figure of this size in inches and its axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes: Axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors=FAINT, labelcolor=INK, length=3)
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(INK)
    return figure, axes


def figure_of(chart: Chart, *, titled: bool) -> Figure:
    """Draw the chart; `titled` adds its title and legend, which a page shows outside of it.

    Call it, and save the figure, within `drawing()`.
    """
    figure, axes = empty_axes(chart.width, chart.height)
    chart.draw(axes)
    if titled:
        figure.suptitle(chart.title, color=INK, fontsize=11, x=0.02, ha="left")
        handles, names = axes.get_legend_handles_labels()
        if handles and not axes.get_legend():
            figure.legend(
                handles, names, loc="outside lower left", frameon=False, labelcolor=INK, fontsize=10
            )
        figure.set_figheight(chart.height + 0.3 + 0.22 * len(handles))
    layout = figure.get_layout_engine()
    if layout:  # computed once; savefig would otherwise draw the figure twice
        layout.execute(figure)
        figure.set_layout_engine("none")
    return figure


def legend_name(name: str, longest: int = 44) -> str:
    """Return the name as matplotlib and XML can show it, shortened to `longest` characters."""
    plain = shortened(name, longest)
    return f" {plain}" if plain.startswith("_") else plain  # matplotlib skips names with "_"


def row_title(axes: Axes, y: float, name: str, note: str = "") -> None:
    """Write a row's name above it at the left, and a note at the right."""
    background = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.5}
    for x, shift, side, words, colour in (
        (0, 2, "left", legend_name(name, 34), INK),
        (1, 0, "right", note, FAINT),
    ):
        axes.annotate(
            words, (x, y), (shift, 0), xycoords=("axes fraction", "data"), ha=side, va="center",
            textcoords="offset points", color=colour, fontsize=10.5, bbox=background,
        )  # fmt: skip


def row_axes(axes: Axes, count: int) -> None:
    """Make room for `count` rows at y = 0, -1, ..., each with its title above it."""
    axes.set_ylim(-count + 0.6, 0.52)
    axes.set_yticks([])
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))


# Inline SVG


def inline_svg(chart: Chart) -> Markup:
    """Return the chart as an SVG element: small, reproducible, in the page's colours."""
    stream = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with drawing():
        figure = figure_of(chart, titled=False)
        figure.savefig(stream, format="svg", metadata=nothing, transparent=True)
    root = ElementTree.fromstring(stream.getvalue())
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', stream.getvalue()))
    for parent in root.iter():
        for child in list(parent):
            if child.tag.endswith(("}style", "}metadata")):  # a style would affect the page
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = {
            key.rpartition("}")[2]: _rewritten(key.rpartition("}")[2], value, chart.name)
            for key, value in element.attrib.items()
            if not (key == "id" and value not in used) and not value.startswith("rotate(-0 ")
        }
    root.attrib = {"viewBox": root.attrib["viewBox"], "class": "chart", "role": "img"}
    root.attrib["aria-label"] = chart.alt
    return Markup(re.sub(r">\s+<", "><", ElementTree.tostring(root, encoding="unicode")))


def _rewritten(key: str, value: str, name: str) -> str:
    """Return an attribute's value with unique ids, CSS colours and short coordinates."""
    if key == "id":
        return f"{name}-{value}"
    if key in ("href", "clip-path"):
        return value.replace("#", f"#{name}-")
    if key == "style":
        value = re.sub(r"font-family:[^;]*;?\s*", "", value)
        return re.sub(r"#[0-9a-f]{6}", lambda found: CSS_COLOURS.get(found[0], found[0]), value)
    if key == "d":
        value = re.sub(r"\d+\.\d+", lambda found: f"{float(found[0]):.1f}", value)
        return " ".join(value.split())
    return value
