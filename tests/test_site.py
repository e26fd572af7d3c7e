"""The documentation site: it builds, and everything that it links to exists."""

import os
import re
import shutil
import sys
import tomllib
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import d3gan
from tests.program import finish, start_process

ROOT = Path(__file__).parents[1]
CONFIG = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]


def navigation(entries: list[object]) -> set[str]:
    """Return the pages of the navigation."""
    pages: set[str] = set()
    for entry in entries:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            pages |= navigation(value) if isinstance(value, list) else {str(value)}
    return pages


def test_every_page_is_in_the_navigation() -> None:
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in ROOT.glob("docs/*.md")}
    assert navigation(CONFIG["nav"]) == pages | {"decisions/index.md"}


def test_every_decision_is_listed() -> None:
    index = (ROOT / "docs" / "decisions" / "index.md").read_text(encoding="utf-8")
    decisions = {page.name for page in ROOT.glob("docs/decisions/0*.md")}
    assert set(re.findall(r"\]\(([^)]+)\)", index)) == decisions


@pytest.mark.parametrize(
    ("address", "page", "repository", "expected"),
    [
        ("methods.md#views", "docs/metrics.md", "", "methods.md#views"),
        ("https://pytorch.org/", "docs/metrics.md", "", "https://pytorch.org/"),
        ("#views", "docs/methods.md", "", "#views"),
        ("../README.md#methods", "docs/methods.md", "", "index.md#methods"),
        ("../../README.md", "docs/decisions/0001-a.md", "", "../index.md"),
        ("docs/methods.md", "docs/index.md", "", "methods.md"),
        ("docs/decisions", "docs/index.md", "", "decisions/index.md"),
        ("docs/images/demo.gif", "docs/index.md", "", "images/demo.gif"),
        ("../src/d3gan/rng.py", "docs/roofline.md", "", ""),
        ("CITATION.cff", "docs/index.md", "", ""),
        ("../src/d3gan/rng.py", "docs/a.md", "https://h/o/r/blob/main", "https://h/o/r/blob/main/src/d3gan/rng.py"),
    ],
)  # fmt: skip
def test_addresses_on_the_site(address: str, page: str, repository: str, expected: str) -> None:
    pytest.importorskip("zensical", reason="the extra site is not installed")
    from website.repository_links import site_address

    assert site_address(address, page, repository) == expected


class Page(HTMLParser):
    """The links, images and anchors of a page."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.text = file.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.anchors |= {value for key in ("id", "name") if (value := values.get(key))}
        if values.get("rel") != "canonical":
            self.links += [value for key in ("href", "src") if (value := values.get(key))]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site, strictly, from a copy of what it is made of, and return its folder."""
    if not (find_spec("zensical") and find_spec("mkdocstrings_handlers")):
        pytest.skip("the extra site is not installed")
    folder = tmp_path_factory.mktemp("site")
    for name in ("docs", "src", "website"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "zensical.toml"):
        shutil.copy(ROOT / name, folder / name)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    environment = {"D3GAN_REPOSITORY": "https://code.example/d3gan/blob/main"}
    finish(start_process(command, folder=folder, **environment), 120).check_returncode()
    return folder / "site"


@pytest.mark.slow
def test_links_images_and_anchors_exist(site: Path) -> None:
    pages = {file: Page(file) for file in site.rglob("*.html") if file.name != "404.html"}
    assert len(pages) > 20
    broken = []
    checked = 0
    for file, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "mailto", "data"):
                assert parts.netloc or parts.path, (file, link)
                if parts.netloc == "code.example":  # a file of the repository
                    path = ROOT / parts.path.removeprefix("/d3gan/blob/main/")
                    broken += [] if path.exists() else [(file.relative_to(site), link)]
                continue
            target = file.parent / unquote(parts.path) if parts.path else file
            target = Path(os.path.normpath(target / "index.html" if target.is_dir() else target))
            anchor = unquote(parts.fragment)
            found = target.is_file() and (
                not anchor or target not in pages or anchor in pages[target].anchors
            )
            checked += 1
            if not found:
                broken.append((file.relative_to(site), link))
    assert broken == []
    assert checked > 1000


@pytest.mark.slow
def test_the_reference_holds_every_public_name(site: Path) -> None:
    page = Page(site / "api" / "index.html")
    assert {f"d3gan.{name}" for name in d3gan.__all__} <= page.anchors
    assert {"d3gan.errors.ProcessesLost", "d3gan.gan.penalties.Penalty"} <= page.anchors
    members = {
        f"d3gan.{kind.__name__}.{name}"
        for kind in (d3gan.Run, d3gan.TrainedGenerator, d3gan.Comparison, d3gan.Progress)
        for name, member in vars(kind).items()
        if not name.startswith("_") and (callable(member) or isinstance(member, property))
    }
    assert len(members) > 20
    assert members <= page.anchors


@pytest.mark.slow
def test_the_home_page_is_the_readme(site: Path) -> None:
    page = Page(site / "index.html")
    headings = re.findall(r"^##+ (.+)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    for heading in headings:
        assert heading.lower().replace(" ", "-") in page.anchors, heading


@pytest.mark.slow
def test_the_site_asks_no_other_server(site: Path) -> None:
    for file in site.rglob("*.html"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"<(script|img|link|iframe)[^>]+(src|href)=\"?https?://", text), file
