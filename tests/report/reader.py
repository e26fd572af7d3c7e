"""Read a page's HTML in tests."""

from html.parser import HTMLParser
from typing import Any

from d3gan.report.page import page
from d3gan.runs import RunFolder

VOID = {"meta", "img", "br"}
Study = tuple[dict[str, Any], dict[str, list[RunFolder]]]


class Reader(HTMLParser):
    """A page as its elements, (name, attributes) in order, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, "all elements are closed"

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, {key: value or "" for key, value in attributes}))
        if name not in VOID:
            self.open.append(name)

    def handle_startendtag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, {key: value or "" for key, value in attributes}))

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, words: str) -> None:
        self.words.append(words)

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def all(self, name: str) -> list[dict[str, str]]:
        return [attributes for element, attributes in self.elements if element == name]


def shown(study: Study, title: str = "A study") -> Reader:
    return Reader(page(*study, title=title))
