"""Large pages, and pages in a browser."""

import html
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from tests.program import finish, start_process
from tests.report import made_up
from tests.report.reader import Reader

from d3gan.report.comparison import run_folders
from d3gan.report.page import write_page


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the page of 20 runs in colour, whose samples are noise, which is hard to compress."""
    folder = tmp_path_factory.mktemp("large")
    methods = {**made_up.METHODS, "other": {**made_up.METHODS["mnist-dcgan"], "n": 3}}
    study = made_up.study(
        folder, methods, range(5), channels=3, samples=64, sample_grids=8, rows=400
    )
    write_page(*study, folder / "report.html", title="20 runs")
    return folder / "report.html"


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the page of runs that are running, failed, or have neither rows nor evaluations."""
    folder = tmp_path_factory.mktemp("unfinished")
    compared = made_up.unfinished_study(folder)
    write_page(compared, run_folders(compared), folder / "report.html", title="Unfinished runs")
    return folder / "report.html"


def test_a_page_of_20_runs_stays_small(large: Path) -> None:
    assert large.stat().st_size < 10e6
    reader = Reader(large.read_text(encoding="utf-8"))
    assert len(reader.all("img")) == 5


BROWSERS = ("chromium", "chromium-browser", "google-chrome")

WIDTHS = (390, 768, 1280)
"""Of a phone, a tablet and a desktop, in pixels."""

LISTEN = """<!doctype html><meta charset="utf-8"><body><script>
addEventListener("message", (event) => {
  const found = document.createElement("pre");
  found.textContent = event.data;
  document.body.append(found);
});
</script>""" + "".join(
    f'<iframe src="{page}.html" width="{width}" height="700"></iframe>'
    for page in ("large", "unfinished")
    for width in WIDTHS
)
"""A page that shows both pages in frames as wide as a phone, a tablet and a desktop, and lists what
they report about themselves."""

LOOK = """<script>addEventListener("load", () => {
  const images = [...document.images];
  const boxes = [...document.querySelectorAll(".scroll")];
  const box = boxes.find((one) => one.scrollWidth > one.clientWidth);
  if (box) box.focus();
  parent.postMessage("FOUND" + JSON.stringify({
    page: document.title,
    width: innerWidth,
    needed: document.documentElement.scrollWidth,
    wide: [...document.querySelectorAll("main *")]
      .filter((one) => !one.closest(".scroll, svg"))
      .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
      .map((one) => one.outerHTML.slice(0, 80)),
    clipped: [...document.querySelectorAll("th, td, caption")]
      .filter((one) => {
        const box = one.closest(".scroll"), edge = box.getBoundingClientRect().left;
        const right = one.getBoundingClientRect().right + box.scrollLeft - edge;
        return one.scrollWidth > one.clientWidth + 1 || right > box.scrollWidth + 2;
      })
      .map((one) => one.outerHTML.slice(0, 80)),
    scrolled: boxes.filter((one) => one.scrollWidth > one.clientWidth)
      .map((one) => one.getAttribute("aria-label")),
    first: document.querySelector(".headline, .missing").getBoundingClientRect().bottom,
    images: images.map((image) => image.naturalWidth),
    charts: [...document.querySelectorAll("svg.chart")]
      .map((one) => one.clientHeight).filter((height) => height),
    letters: Math.min(...[...document.querySelectorAll("svg.chart text")]
      .map((one) => one.getBoundingClientRect()).filter((one) => one.width)
      .map((one) => Math.min(one.width, one.height))),
    focused: !box || document.activeElement === box,
    ground: getComputedStyle(document.body).backgroundColor,
    curve: getComputedStyle(document.querySelector("[style*='stroke: var(--method-1)']")).stroke,
    faint: getComputedStyle(document.querySelector(".faint")).color,
  }) + "END", "*");
});</script>"""


def browse(file: Path, profile: Path, *options: str) -> tuple[str, list[str]]:
    """Return the page's final HTML in a browser, and its messages on the console."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"no browser is installed (none of {', '.join(BROWSERS)})")
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


COLOURS = {
    "light": ("rgb(246, 247, 249)", "rgb(213, 94, 0)"),
    "dark": ("rgb(18, 21, 26)", "rgb(255, 143, 77)"),
}
"""For each scheme the colours of the page and of the second method's curves."""


@pytest.mark.parametrize("scheme", COLOURS)
def test_pages_fit_phone_tablet_and_desktop(
    large: Path, unfinished: Path, scheme: str, tmp_path: Path
) -> None:
    policy = re.compile('<meta http-equiv="Content-Security-Policy".*?>')
    for name, file in (("large", large), ("unfinished", unfinished)):
        text = policy.sub("", file.read_text(encoding="utf-8"))
        asked = text.replace("</body>", f"{LOOK}</body>")
        (tmp_path / f"{name}.html").write_text(asked, encoding="utf-8")
    (tmp_path / "frames.html").write_text(LISTEN, encoding="utf-8")
    colours = f"--blink-settings=preferredColorScheme={int(scheme == 'light')}"
    text, console = browse(tmp_path / "frames.html", tmp_path / "profile", colours)
    assert console == []
    found = [json.loads(html.unescape(one)) for one in re.findall("<pre>FOUND(.*?)END", text)]
    assert sorted((one["page"], one["width"]) for one in found) == [
        (page, width) for page in ("20 runs", "Unfinished runs") for width in WIDTHS
    ]
    for one in found:
        is_large = one["page"] == "20 runs"
        assert one["needed"] <= one["width"], "the page does not scroll sideways"
        assert one["wide"] == []
        assert one["clipped"] == []
        assert one["scrolled"] == [], f"no table is cut off at {one['width']} px"
        assert one["first"] < 1000, "headline and chart are on the first screen"
        assert len(one["images"]) == (5 if is_large else 4)
        assert min(one["images"]) > 0
        assert len(one["charts"]) == (13 if is_large else 12), "one size of the headline is shown"
        assert min(one["charts"]) > 80
        assert one["letters"] > 6
        assert one["focused"], "a table that scrolls is reachable by keyboard"
        assert (one["ground"], one["curve"]) == COLOURS[scheme]
        assert contrast(one["faint"], one["ground"]) > 4.5, "WCAG 2, level AA"


def contrast(*colours: str) -> float:
    """Return the contrast ratio of two colours ``rgb(1, 2, 3)`` (WCAG 2.2)."""
    light = []
    for colour in colours:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        light.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(light) + 0.05) / (min(light) + 0.05)


def test_a_page_needs_nothing_else(large: Path, tmp_path: Path) -> None:
    text, console = browse(large, tmp_path / "profile")
    assert "20 runs</h1>" in text
    assert console == []


def test_the_policy_blocks_scripts(large: Path, tmp_path: Path) -> None:
    text = large.read_text(encoding="utf-8")
    broken = text.replace("</main>", "<script>document.title = 'ran'</script></main>")
    (tmp_path / "page.html").write_text(broken, encoding="utf-8")
    text, console = browse(tmp_path / "page.html", tmp_path / "profile")
    assert "<title>20 runs</title>" in text
    assert len(console) == 1
    assert "Content Security Policy" in console[0]
