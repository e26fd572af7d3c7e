"""d3gan push."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from d3gan.cli.parsing import parse
from d3gan.cli.printing import STANDARD_OUTPUT, check_json, write_json
from d3gan.hub import check_login
from d3gan.runs import RunFolder


def push(arguments: list[str]) -> int:
    """Publish a run's generator on the Hugging Face hub."""
    parse(_push, arguments, "push")
    return 0


def _push(
    run: Annotated[Path, tyro.conf.Positional],
    repository: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OWNER/NAME")],
    checkpoint: str = "last",
    private: bool = False,
    license: str = "",
    json: str = "",
) -> None:
    """Publish a trained generator on the Hugging Face hub, with samples, metrics and a model card.

    Log in first with `hf auth login`, or set HF_TOKEN to a token with write access.

    Args:
        run: A run's folder.
        repository: The repository, owner/name; it is created if it does not exist.
        checkpoint: Checkpoint of the run: best, last or a step.
        private: Create the repository as a private one.
        license: Identifier of the license of the weights, such as mit or cc-by-4.0; by default the
            card names none.
        json: Write the repository, the commit and the files as JSON to this file; with "-", print
            only that JSON.
    """
    check_json(json)
    RunFolder(run).require("push")
    check_login(repository)
    from d3gan.publish import push as publish  # importing torch takes seconds

    pushed = publish(run, repository, checkpoint=checkpoint, private=private, license=license)
    write_json(dataclasses.asdict(pushed), json)
    if json != STANDARD_OUTPUT:
        print(
            f"generator of step {pushed.step} of {run}: {pushed.url}\n"
            f"use: d3gan sample hf://{repository} -n 64 -o grid.png"
        )
