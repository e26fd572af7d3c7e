"""Figures as SVG inside a page: small, the same bytes every time, in the page's own colours."""

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.figure import Figure

from d3gan.report.markup import Html

XLINK = "{http://www.w3.org/1999/xlink}href"
SETTINGS: Any = {
    "svg.fonttype": "none",  # text stays text: searched, read aloud, set in the page's font
    "svg.hashsalt": "d3gan",  # the same names every time
    "text.parse_math": False,  # a method may be called $x$
    "axes.unicode_minus": False,
    "font.size": 11,
}


@contextmanager
def drawing() -> Iterator[None]:
    """Settings under which all figures are drawn; a letter that the font lacks is no warning."""
    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def inline_svg(figure: Figure, alt: str, *, name: str, colours: Mapping[str, str]) -> Html:
    """The figure as an element of a page.

    `alt` tells in words what is to be seen. `name` stands before all ids, so that two figures of a
    page share none. `colours` says which CSS colour stands for which of the figure's (``#rrggbb``).
    """
    stream = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(stream, format="svg", metadata=nothing, transparent=True)
    root = ElementTree.fromstring(stream.getvalue())
    box = root.get("viewBox", "")
    root.attrib.clear()
    root.attrib |= {"viewBox": box, "class": "chart", "role": "img", "aria-label": alt}
    used = {
        value.rpartition("#")[2].rstrip(")")
        for element in root.iter()
        for key, value in element.attrib.items()
        if key in (XLINK, "clip-path")
    }
    for parent in root.iter():
        for child in list(parent):
            if child.tag.endswith(("}style", "}metadata")):  # would hold for the whole page
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib.update(_attributes(element.attrib, used, name, colours))
        for key in [key for key in element.attrib if key.startswith("{") or not element.get(key)]:
            del element.attrib[key]
    return Html(re.sub(r">\s+<", "><", ElementTree.tostring(root, encoding="unicode")))


def _attributes(
    old: Mapping[str, str], used: set[str], name: str, colours: Mapping[str, str]
) -> dict[str, str]:
    """What changes; an empty value is to be left out."""
    new = {}
    for key, value in old.items():
        if key == "id":
            new[key] = f"{name}-{value}" if value in used else ""
        elif key == XLINK:
            new["href"] = f"#{name}-{value[1:]}"
        elif key == "clip-path":
            new[key] = value.replace("#", f"#{name}-")
        elif key == "style":
            value = re.sub(r"font-family:[^;]*;?\s*", "", value)
            new[key] = re.sub(r"#[0-9a-f]{6}", lambda found: colours.get(found[0], found[0]), value)
        elif key == "d":
            value = re.sub(r"\d+\.\d+", lambda found: f"{float(found[0]):.1f}", value)
            new[key] = " ".join(value.split())
        elif key == "transform" and value.startswith("rotate(-0 "):
            new[key] = ""
    return new
