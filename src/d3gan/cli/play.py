"""d3gan play."""

import time
from pathlib import Path
from typing import Annotated

import tyro

from d3gan.cli.parsing import parse
from d3gan.errors import UserError
from d3gan.extras import require
from d3gan.hub import hub_model
from d3gan.runs import RunFolder


def play(arguments: list[str]) -> int:
    """Explore a run in the browser."""
    parse(_play, arguments, "play")
    return 0


def _play(
    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    port: int = 0,
    share: bool = False,
    browser: bool = True,
) -> None:
    """Explore the images of a trained generator in the browser, until Ctrl-C.

    Sliders move along the principal directions of the latents, between two seeds, and through the
    checkpoints of the run.

    Args:
        run: A run's folder, a .safetensors file of `d3gan export`, or hf://owner/name[@revision].
        port: Port of the page on this machine; 0: the first free one from 7860 on.
        share: Also publish the page through gradio.live, for everybody who has its address.
        browser: Open the page in the browser.
    """
    if not 0 <= port < 2**16:
        raise UserError(f"port = {port}: must be at least 0 and below 65,536")
    try:
        require("gradio", "6", "play")
    except UserError as error:
        raise UserError(f"d3gan play {error}") from None
    model = hub_model(run)
    if not model and run.suffix != ".safetensors":
        RunFolder(run).require("play")

    from d3gan.play.explorer import Explorer  # importing torch takes seconds

    explorer, title = Explorer(run), str(model or run.resolve().name)
    from d3gan.play.page import serve  # and so does importing gradio

    page, address = serve(explorer, title, port=port, share=share, browser=browser)
    print(f"{title}: {address}  (Ctrl-C ends it)", flush=True)
    try:
        while True:
            time.sleep(3600)  # on Windows, Ctrl-C does not end the wait for an event
    except KeyboardInterrupt:
        if page.server is not None:
            page.server.force_exit = True  # uvicorn would wait until open pages are closed
        page.close(verbose=False)
