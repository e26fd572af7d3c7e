"""The page of `d3gan play`; in headless Chromium, what it shows and what its controls do."""

import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.program import finish, start_process, wait_for

import d3gan
from d3gan import config as configs
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.extras import require

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = ("--disable-background-networking", "--disable-component-update", "--disable-sync")
WAIT = 60_000
"""Longest time for a change of the page, milliseconds."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def browser() -> Iterator[Any]:
    """A headless browser; the test is skipped where a part of it is not installed."""
    try:
        require("gradio", "6", "play")
    except UserError as error:
        pytest.skip(str(error))
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser is installed (none of {', '.join(BROWSERS)})")
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(
            executable_path=program, args=[*SWITCHES, *["--no-sandbox"] * root]
        )
        yield opened
        opened.close()


@pytest.mark.slow
def test_controls_change_the_pictures(browser: Any, tiny: Config, tmp_path: Path) -> None:
    values = {"checkpoint": {"every_epochs": 1.0}, "model": {"conditional": True}}
    config = configs.from_dict(values, tiny)
    d3gan.train(config)
    port, log = free_port(), tmp_path / "log"
    command = [sys.executable, "-m", "d3gan", "play", config.run_dir, "--port", port]
    with log.open("w") as file:
        server = start_process([*command, "--no-browser"], stdout=file, stderr=file)
    wait_for(lambda: f"127.0.0.1:{port}" in log.read_text(), server)

    page = browser.new_page(viewport={"width": 390, "height": 844})
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"http://127.0.0.1:{port}/")

    def shown(place: str) -> str:
        return str(page.locator(f"#{place} img").first.get_attribute("src", timeout=WAIT))

    def wait_for_change(place: str, before: str) -> None:
        page.wait_for_function(
            "([place, before]) => document.querySelector(`#${place} img`)?.src !== before",
            arg=[place, before],
            timeout=WAIT,
        )

    def wait_for_caption(caption: str) -> None:
        page.locator("#image figcaption", has_text=caption).wait_for(timeout=WAIT)

    assert shown("image").startswith("data:image/png;base64,")
    for control, value in (("seed", "7"), ("direction-1", "3"), ("checkpoint", "1")):
        before = shown("image")
        page.locator(f"#{control} input[type=number]").fill(value)
        wait_for_change("image", before)
    wait_for_caption("Seed 7, step 5")
    before = shown("sheet")
    page.locator("#next-seed").click()
    wait_for_change("sheet", before)
    wait_for_caption("Seed 8, step 5")
    before = shown("image")
    page.locator("#class input").click()
    page.get_by_role("option", name="1", exact=True).click()
    wait_for_change("image", before)
    wait_for_caption("Seed 8, class 1, step 5")
    page.locator("#reset-directions").click()
    page.wait_for_function(
        "document.querySelector('#direction-1 input[type=number]').value === '0'", timeout=WAIT
    )
    for typed, caption in (("", "Seed 0"), ("123456", "Seed 9999"), ("3", "Seed 3")):
        page.locator("#seed input[type=number]").fill(typed)
        wait_for_caption(caption)

    page.locator("#direction-6").scroll_into_view_if_needed()
    assert page.locator("#image img").bounding_box()["y"] >= 0, "the image stays in view"

    rendering = page.evaluate(
        "getComputedStyle(document.querySelector('#image img')).imageRendering"
    )
    assert rendering == "pixelated"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert errors == []
    assert "Traceback" not in log.read_text()

    second = finish(start_process([*command, "--no-browser"]), 60)
    assert second.returncode == 2
    assert second.stderr == f"d3gan: error: port = {port}: it is in use; choose another --port\n"
    if sys.platform != "win32":
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
    own = re.compile(rf"(http|ws)://(127\.0\.0\.1|localhost):{port}/|data:|blob:")
    assert [url for url in asked if not own.match(url)] == []
