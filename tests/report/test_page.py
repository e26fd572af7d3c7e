"""The page of a study: its structure, what is escaped, what may be missing, and in a browser."""

import copy
import html
import json
import os
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.program import finish, start_process
from tests.report import made_up

from d3gan.errors import UserError
from d3gan.report.markup import Html, joined, tag
from d3gan.report.page import page, write_page, write_plots
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


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return made_up.study(tmp_path_factory.mktemp("study"), seeds=range(3), rows=40)


def shown(study: Study, title: str = "A study") -> Reader:
    return Reader(page(*study, title=title))


def test_a_page_says_all_of_it(study: Study) -> None:
    reader = shown(study)
    assert [name for name, _ in reader.elements[:2]] == ["html", "head"]
    assert reader.all("html") == [{"lang": "en"}]
    sections = [attributes["id"] for attributes in reader.all("section")]
    assert sections == [
        "verdict", "quality", "curves", "target", "samples", "losses", "choice", "cost", "runs",
        "configs", "environment", "contract",
    ]  # fmt: skip
    assert study[0]["verdict"] in reader.words
    assert len(reader.all("svg")) > 12
    methods = study[0]["methods"]
    for name, numbers in methods.items():
        estimate = numbers["fd"]
        told = "{mean:.1f} ({low:.1f} to {high:.1f})".format(**estimate)
        assert told in reader.text, name
    assert "at most 1.08 (up to 1.30)" in reader.words
    assert any(re.fullmatch(r"[012] of 3", words) for words in reader.words), "some never got there"
    for words in ("gan.discriminators", "A GPU of 80 GB", "classifier:mnist", "1.55 GB"):
        assert words in reader.text
    kinds = [re.match("data:image/([a-z]+);base64,", i["src"])[1] for i in reader.all("img")]  # type: ignore[index]
    assert kinds == ["png"] * 3 + ["gif"]


def test_a_verdict_of_several_sentences_is_told_one_by_one(study: Study) -> None:
    sentences = {"A": "A, of St. Ives: not shown.", "C": "C over B: as well."}
    verdict = {"verdicts": sentences, "verdict": f"{' '.join(sentences.values())} Each by itself."}
    words = shown(({**study[0], **verdict}, study[1])).words
    for sentence in (*sentences.values(), "Each by itself."):
        assert sentence in words


def test_a_page_can_be_read_by_everybody(study: Study) -> None:
    reader = shown(study)
    for landmark in ("header", "nav", "main", "footer", "title", "h1"):
        assert len(reader.all(landmark)) == 1, landmark
    levels = [int(name[1]) for name, _ in reader.elements if re.fullmatch("h[1-6]", name)]
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert all(image["alt"] and image["width"] for image in reader.all("img"))
    charts = [svg for svg in reader.all("svg") if svg.get("aria-hidden") != "true"]
    assert len(charts) == 12
    for chart in charts:
        assert chart["role"] == "img"
        assert len(chart["aria-label"]) > 40
    assert len(reader.all("table")) == len(reader.all("caption"))
    assert all(cell["scope"] in ("row", "col") for cell in reader.all("th"))
    boxes = [box for box in reader.all("div") if box.get("class") == "scroll"]
    assert len(boxes) == len(reader.all("table"))
    assert all(box["tabindex"] == "0" and box["aria-label"] for box in boxes)
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in reader.elements:
        for key in ("href", "aria-labelledby"):
            if key in attributes:
                assert attributes[key].lstrip("#") in ids
        for used in re.findall(r"url\(#(.*?)\)", " ".join(attributes.values())):
            assert used in ids


def test_alt_texts_tell_what_is_to_be_seen(study: Study) -> None:
    told = " ".join(svg.get("aria-label", "") for svg in shown(study).all("svg"))
    for words in (
        "lower is better, against images seen: mnist-dcgan comes to",
        "Runs that reached fd",
        "at the end of training: G ",
        "mnist-d3gan D1 ",
        "Peak memory, mean over runs, less is better: mnist-dcgan 1.55 GB",
    ):
        assert words in told


def test_a_page_asks_for_nothing(study: Study) -> None:
    text = page(*study, title="A study")
    reader = Reader(text)
    for name, attributes in reader.elements:
        assert name not in ("script", "link", "iframe", "object", "base")
        assert not any(key.startswith("on") for key in attributes)
        for key in ("src", "href"):
            assert attributes.get(key, "#").startswith(("#", "data:image/"))
    assert "url(h" not in text
    assert "@import" not in text
    policy = next(meta for meta in reader.all("meta") if "http-equiv" in meta)
    assert policy["content"].startswith("default-src 'none'")


def test_the_same_runs_give_the_same_page(study: Study, tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        write_page(*study, tmp_path / "new" / name, title="A study")
    assert (tmp_path / "new/a.html").read_bytes() == (tmp_path / "new/b.html").read_bytes()


EVIL = "<script>alert(1)</script>\"'&amp;<img src=x onerror=alert(2)>$\\frac{"


def test_everything_shown_is_escaped(tmp_path: Path) -> None:
    compared, runs = made_up.study(tmp_path, seeds=range(2), rows=8, sample_grids=3)
    names = {name: f"_{i}{EVIL}" for i, name in enumerate(runs)}
    for (name, evil), folders in zip(names.items(), runs.values(), strict=True):
        for folder in folders:
            text = folder.environment_file.read_text().replace("A GPU of 80 GB", f"gpu{name}")
            session = json.loads(text)
            session[0] |= {"cpu": EVIL, EVIL: EVIL, "command": ["d3gan", EVIL]}
            folder.environment_file.write_text(json.dumps(session))
        for run in compared["runs"][name]:
            run |= {"name": evil, "path": f"/runs/{EVIL}", "status": EVIL}
        compared["configs"][name] |= {"data.source": EVIL, EVIL: [EVIL]}
    compared["differences"]["mnist-d3gan"]["data.source"] = [EVIL, EVIL]
    compared["contract"] = {"features": EVIL, EVIL: None}
    renamed = {
        key: {names.get(name, name): of_method for name, of_method in value.items()}
        if isinstance(value, dict)
        else value
        for key, value in compared.items()
    }
    renamed |= {"verdict": EVIL, "baseline": names["mnist-dcgan"], "metric": "fd"}
    renamed["target"]["what"] = EVIL
    speedup = compared["speedup"]["mnist-d3gan over mnist-dcgan"]
    renamed["speedup"] = {f"{EVIL} over {EVIL}": speedup}
    evil_runs = {names[name]: folders for name, folders in runs.items()}
    text = page(renamed, evil_runs, title=EVIL)
    reader = Reader(text)
    assert not reader.all("script")
    assert not any("onerror" in attributes for _, attributes in reader.elements)
    assert "<script" not in text
    for words in (EVIL, f"_0{EVIL}", f"/runs/{EVIL}", f"{EVIL} over {EVIL}", f"d3gan {EVIL}"):
        assert words in reader.words, words
    assert f"_2{EVIL}" in "".join(svg.get("aria-label", "") for svg in reader.all("svg"))
    assert len(write_plots(renamed, evil_runs, tmp_path / "plots")) == 12


def test_html_is_escaped_unless_it_is_html() -> None:
    assert tag("p", "<b>", Html("<i>")) == "<p>&lt;b&gt;<i></p>"
    assert tag("a", "x", href='"><script>', class_="c") == (
        '<a href="&quot;&gt;&lt;script&gt;" class="c">x</a>'
    )
    assert tag("img", alt=Html("<b>")) == '<img alt="&lt;b&gt;">'
    assert tag("p", None, 1, hidden=True, id=None, title=False) == "<p hidden>1</p>"
    assert joined("&", Html("&amp;")) == "&amp;&amp;"


# What may be missing


def without(*path: str) -> Callable[[dict[str, Any]], None]:
    """Sets the last key on the way to None, in every method where the way says *."""

    def change(value: Any, keys: tuple[str, ...] = path) -> None:
        first, *rest = keys
        places = (value if isinstance(value, list) else value.values()) if first == "*" else None
        if places is not None:
            for place in places:
                change(place, tuple(rest))
        elif rest:
            change(value[first], tuple(rest))
        else:
            value[first] = None

    return change


def emptied(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda compared: compared.update({key: {}})


def unreached(compared: dict[str, Any]) -> None:
    for estimate in compared["time_to_target"].values():
        estimate |= {key: None for key in estimate if key not in ("reached", "seeds")}
        estimate["reached"] = 0
    compared["target"]["value"] = 0.1


def of_nothing(compared: dict[str, Any]) -> None:
    """As little as there can be."""
    kept = {key: compared[key] for key in ("metric", "better", "baseline")}
    runs = {name: [{"seed": None} for _ in runs] for name, runs in compared["runs"].items()}
    compared.clear()
    compared |= kept | {"runs": runs}


@pytest.mark.parametrize(
    "changes",
    [
        {
            "Not recorded by any run: peak memory and utilisation.": (
                without("runs", "*", "*", "peak_memory_bytes"),
                without("runs", "*", "*", "utilisation"),
            ),
            "No method of this study chooses": (without("runs", "*", "*", "chosen"),),
            "fd against training time": (without("curves", "*", "flops"),),
            "Compared at equal images": (without("at", "seconds"),),
            "The evaluations tell no contract.": (without("contract"),),
            "0 of 3": (unreached, without("runs", "*", "*", "best")),
        },
        {
            "No curves": (emptied("curves"),),
            "No method was evaluated at that many images.": (emptied("methods"),),
            "equal time": (emptied("at_equal_time"),),
            "No speed-up to tell": (emptied("speedup"),),
            "The configurations are not known.": (emptied("configs"),),
            "The differences are not known.": (emptied("differences"),),
        },
        {"There is no target to reach": (emptied("target"),)},
        {"No verdict was given.": (of_nothing,)},
    ],
)
def test_what_a_comparison_lacks_is_told(
    study: Study, changes: dict[str, tuple[Callable[[dict[str, Any]], None], ...]]
) -> None:
    compared, runs = copy.deepcopy(study[0]), study[1]
    for change in (change for several in changes.values() for change in several):
        change(compared)
    reader = shown((compared, runs))
    for told in changes:
        assert told in reader.text
    assert "None" not in reader.words


def test_runs_that_did_not_end_well_are_told_at_the_top(study: Study) -> None:
    compared = copy.deepcopy(study[0])
    runs = compared["runs"]["mnist-d3gan"]
    runs[0]["status"], runs[1]["status"], runs[2]["status"] = "diverged", "unfinished", "collapsed"
    text = page(compared, study[1], title="A study")
    for status in ("diverged", "unfinished", "collapsed"):
        assert f"1 of 3 runs of mnist-d3gan {status}" in text[: text.index('id="quality"')]


def test_what_run_folders_lack_is_told(tmp_path: Path) -> None:
    compared, runs = made_up.study(tmp_path, seeds=range(2), rows=8, sample_grids=2)
    one = runs["mnist-d3gan"][0]
    assert "after 384,000 images" in page(compared, runs, title="A study")
    one.sample_file(6000).write_bytes(b"\x89PNG broken")
    assert "No sample grid of mnist-d3gan can be shown." in page(compared, runs, title="A study")
    for folder in runs["mnist-d3gan"]:
        shutil.rmtree(folder.samples)
    one.environment_file.unlink()
    text = page(compared, runs, title="A study")
    assert "no samples" in text
    assert f"Not told by {one.path.name}." in text
    for folder in (folder for folders in runs.values() for folder in folders):
        shutil.rmtree(folder.samples, ignore_errors=True)
        folder.metrics_file.unlink()
        folder.environment_file.unlink(missing_ok=True)
    reader = shown((compared, runs))
    for words in ("no sample grids", "no rows of losses", "tell nothing of where"):
        assert words in reader.text


@pytest.mark.parametrize("methods", [1, 2])
def test_one_seed_has_no_interval(tmp_path: Path, methods: int) -> None:
    names = dict(list(made_up.METHODS.items())[:methods])
    reader = shown(made_up.study(tmp_path, names, [7], rows=5, sample_grids=1))
    fd = reader.words.index("equal compute")
    assert not any(re.search(r"\d \(.* to .*\)", words) for words in reader.words[fd : fd + 20])
    assert "No animation" in reader.text
    assert ("There is no other method to differ from." in reader.words) == (methods == 1)


def test_many_methods_and_discriminators(tmp_path: Path) -> None:
    methods = {
        f"a-rather-long-name-of-a-method-{i}": {**about, "n": i + 1, "rule": "max"}
        for i, about in enumerate(list(made_up.METHODS.values()) * 3)
    }
    study = made_up.study(tmp_path, methods, [0, 1], rows=5, sample_grids=2, evaluations=3)
    reader = shown(study)
    assert "of at most 3.17" in reader.text
    assert len(reader.all("figure")) == 3 + 1 + 9 + 1 + 4 + len(methods)


def test_grids_are_compared_at_equal_images(tmp_path: Path) -> None:
    compared, runs = made_up.study(tmp_path / "a", seeds=[0], rows=5, sample_grids=13)
    _, others = made_up.study(
        tmp_path / "b", seeds=[0], rows=5, sample_grids=5, steps=3000, batch_size=128
    )
    runs["mnist-d3gan"] = others["mnist-d3gan"]
    compared["at"]["images"] = 300_000
    reader = shown((compared, runs))
    assert reader.text.count("seed 0, after 288,000 images") == 3
    compared["at"]["images"] = 100_000  # only what they began with is shared up to here
    assert reader.all("img")[-1]["alt"].endswith("from 0 to 288,000 images seen")


def test_plots_are_files(study: Study, tmp_path: Path) -> None:
    files = write_plots(*study, tmp_path / "new/plots")
    assert len({file.name for file in files}) == len(files) == 12
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write to"):
        write_plots(*study, tmp_path / "file")
    with pytest.raises(UserError, match="cannot write to"):
        write_page(*study, tmp_path / "file" / "report.html", title="A study")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 20 runs in colour, whose samples are noise: nothing is harder to compress."""
    folder = tmp_path_factory.mktemp("large")
    methods = {**made_up.METHODS, "other": made_up.METHODS["mnist-dcgan"]}
    study = made_up.study(
        folder, methods, range(5), channels=3, samples=64, sample_grids=8, rows=400
    )
    write_page(*study, folder / "report.html", title="20 runs")
    return folder / "report.html"


def test_a_page_of_20_runs_stays_small(large: Path) -> None:
    assert large.stat().st_size < 10e6
    reader = Reader(large.read_text(encoding="utf-8"))
    assert len(reader.all("img")) == 5


# In a browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome")

LISTEN = """<!doctype html><meta charset="utf-8"><body><script>
addEventListener("message", (event) => {
  const found = document.createElement("pre");
  found.textContent = event.data;
  document.body.append(found);
});
</script><iframe src="copy.html" width="375" height="700"></iframe>
<iframe src="copy.html" width="1280" height="700"></iframe>"""

LOOK = """<script>addEventListener("load", () => {
  const images = [...document.images];
  const boxes = [...document.querySelectorAll(".scroll")];
  const box = boxes.find((one) => one.scrollWidth > one.clientWidth);
  if (box) box.focus();
  parent.postMessage("FOUND" + JSON.stringify({
    width: innerWidth,
    needed: document.documentElement.scrollWidth,
    wide: [...document.querySelectorAll("main *")]
      .filter((one) => !one.closest(".scroll, svg"))
      .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
      .map((one) => one.outerHTML.slice(0, 80)),
    images: images.map((image) => image.naturalWidth),
    charts: [...document.querySelectorAll("svg.chart")].map((one) => one.clientHeight),
    focused: !box || document.activeElement === box,
    ground: getComputedStyle(document.body).backgroundColor,
    curve: getComputedStyle(document.querySelector("[style*='stroke: var(--method-1)']")).stroke,
  }) + "END", "*");
});</script>"""


def browse(file: Path, profile: Path, *options: str) -> tuple[str, list[str]]:
    """The page as a browser has it in the end, and what it said on the console."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"there is no browser here (none of {', '.join(BROWSERS)})")
    command = [
        browser, "--headless", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr",
        f"--user-data-dir={profile}", "--virtual-time-budget=4000", "--window-size=1400,900",
        *options, "--dump-dom", file.as_uri(),
    ]  # fmt: skip
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.insert(1, "--no-sandbox")
    done = finish(start_process(command, encoding="utf-8"), timeout=120)
    done.check_returncode()
    return done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]


def test_in_a_browser(large: Path, tmp_path: Path) -> None:
    text, console = browse(large, tmp_path / "profile")
    assert "20 runs</h1>" in text
    assert console == []

    # Put into frames as wide as a phone and a desktop, and asked, in dark colours.
    page_text = large.read_text(encoding="utf-8")
    policy = re.compile('<meta http-equiv="Content-Security-Policy".*?>')
    asked = policy.sub("", page_text).replace("</body>", f"{LOOK}</body>")
    (tmp_path / "copy.html").write_text(asked, encoding="utf-8")
    (tmp_path / "frames.html").write_text(LISTEN, encoding="utf-8")
    dark = "--blink-settings=preferredColorScheme=0"
    text, console = browse(tmp_path / "frames.html", tmp_path / "profile", dark)
    assert console == []
    found = [json.loads(html.unescape(one)) for one in re.findall("<pre>FOUND(.*?)END", text)]
    assert sorted(one["width"] for one in found) == [375, 1280]
    for one in found:
        assert one["needed"] <= one["width"], "the page does not scroll sideways"
        assert one["wide"] == []
        assert len(one["images"]) == 5
        assert min(one["images"]) > 0
        assert min(one["charts"]) > 80
        assert one["focused"], "a table that scrolls can be reached by keyboard"
        assert one["ground"] == "rgb(18, 21, 26)"
        assert one["curve"] == "rgb(255, 143, 77)"


def test_nothing_that_got_into_a_page_would_run(large: Path, tmp_path: Path) -> None:
    text = large.read_text(encoding="utf-8")
    broken = text.replace("</main>", "<script>document.title = 'ran'</script></main>")
    (tmp_path / "page.html").write_text(broken, encoding="utf-8")
    text, console = browse(tmp_path / "page.html", tmp_path / "profile")
    assert "<title>20 runs</title>" in text
    assert len(console) == 1
    assert "Content Security Policy" in console[0]
