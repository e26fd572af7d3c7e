"""What the parts of a page are made of: tables, charts, names of methods."""

import base64
from collections.abc import Iterable, Mapping, Sequence

from d3gan.report import svg, wording
from d3gan.report.chart import CSS_COLOURS, Chart, Comparison, Style, figure_of
from d3gan.report.markup import Html, joined, tag


def missing(words: str) -> Html:
    """What is said in the place of data that are not there."""
    return tag("p", words, class_="missing")


def table(
    caption: str,
    heads: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    words: bool = False,
) -> Html:
    """A table in a box that scrolls by itself. The first cell of a row is its heading.

    `words`: the cells hold text, not numbers.
    """
    body = [
        tag("tr", tag("th", row[0], scope="row"), *(_cell(value) for value in row[1:]))
        for row in rows
    ]
    return tag(
        "div",
        tag(
            "table",
            tag("caption", tag("span", caption)),
            tag("thead", tag("tr", *(tag("th", head, scope="col") for head in heads))),
            tag("tbody", *body),
            class_="words" if words else None,
        ),
        class_="scroll",
        role="region",
        tabindex=0,
        aria_label=f"Table: {caption}",
    )


def _cell(value: object) -> Html:
    """A table's cell; one that is a cell already stays as it is."""
    if isinstance(value, Html) and value.startswith("<td"):
        return value
    if value == wording.UNKNOWN:
        value = joined(tag("span", value, aria_hidden="true"), unseen("not known"))
    return tag("td", value)


def unseen(words: str) -> Html:
    """Read aloud, not shown."""
    return tag("span", words, class_="unseen")


def swatch(style: Style) -> Html:
    """A line with the method's marker, as in the charts."""
    colour = f"var(--method-{style.number})"
    shapes = {
        "o": '<circle cx="12" cy="5" r="3.6"/>',
        "s": '<path d="M8.6 1.6h6.8v6.8h-6.8z"/>',
        "D": '<path d="M12 .6l4.4 4.4-4.4 4.4-4.4-4.4z"/>',
        "^": '<path d="M12 .8l4.4 7.8h-8.8z"/>',
        "v": '<path d="M12 9.2l4.4-7.8h-8.8z"/>',
        "P": '<path d="M10.6 1h2.8v2.6h2.6v2.8h-2.6v2.6h-2.8v-2.6h-2.6v-2.8h2.6z"/>',
        "*": '<path d="M12 .4l1.3 3.1 3.4.2-2.6 2.2.8 3.3-2.9-1.8-2.9 1.8.8-3.3-2.6-2.2 3.4-.2z"/>',
        "X": '<path d="M9.6 1.2l2.4 2.2 2.4-2.2 1.6 1.6-2.2 2.2 2.2 2.2-1.6 1.6-2.4-2.2-2.4 2.2'
        '-1.6-1.6 2.2-2.2-2.2-2.2z"/>',
    }
    dashes = {"--": "5 2.4", ":": "1.5 2", "-.": "5 2 1.5 2"}
    line = tag("path", d="M0 5h24", stroke=colour, stroke_width=2, fill="none",
               stroke_dasharray=dashes.get(style.line))  # fmt: skip
    return tag(
        "svg", line, tag("g", Html(shapes[style.marker]), fill=colour),
        viewBox="0 0 24 10", class_="swatch", aria_hidden="true",
    )  # fmt: skip


def method(name: str, look: Mapping[str, Style]) -> Html:
    """A method's name behind its swatch."""
    return joined(swatch(look[name]), name)


def legend(names: Iterable[str], look: Mapping[str, Style]) -> Html:
    """The methods of the charts below it."""
    return tag("ul", *(tag("li", method(name, look)) for name in names), class_="legend")


def figures(charts: Sequence[Chart], comparison: Comparison) -> Html:
    """Charts under their titles, beside one another where there is room."""
    drawings = []
    for chart in charts:
        with svg.drawing():
            drawn = svg.inline_svg(
                figure_of(chart, comparison, whole=False),
                chart.alt,
                name=chart.name,
                colours=CSS_COLOURS,
            )
        drawings.append(tag("figure", tag("figcaption", chart.title), drawn))
    few = len(drawings) in (1, 2, 4)
    return tag("div", *drawings, class_="charts wide" if few else "charts")


def data_uri(content: bytes, kind: str) -> str:
    """A picture's file as an address that holds all of it; `kind` is png or gif."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
