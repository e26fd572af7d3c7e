"""A small program that takes the place of `d3gan train`, and what it is asked to do."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from d3gan.study import launchers
from d3gan.study import run as running

STUB = """
import json, os, signal, sys, time, tomllib
from pathlib import Path
from d3gan.errors import UserError
from d3gan.run_status import Status
from d3gan.runs import RunFolder

word = Path(sys.argv[2])
text = (word if word.suffix == ".toml" else word / "config.toml").read_text()
config = tomllib.loads(text)
run = RunFolder(Path(config["out_dir"]) / config["name"])
here = Path(__file__).parent
does = json.loads((here / "does.json").read_text()).get(config["name"], "train")
received = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: received.append(number))

def log(event):
    with (here / "journal").open("a") as journal:
        journal.write(json.dumps([event, config["name"], sys.argv[1:], dict(os.environ)]) + "\\n")

def events():
    return [json.loads(line)[0] for line in (here / "journal").read_text().splitlines()]

def write_status(state, step, message=""):
    run.write_status(Status(state, step, 10, float(step), os.getpid(), "here", message, 1000.0))

def save(step):
    row = {"step": step, "images": 8 * step, "epoch": step / 5, "train_seconds": float(step)}
    measured = {"eval_seconds": 1.0, "monitor": "fd", "fd": 9.5}
    measured["protocol"] = {"features": "classifier"}
    run.append_metrics([{"kind": "train", **row}, {"kind": "eval", **row, **measured}])
    run.checkpoint_file(step).touch()

if does == "refuse":
    sys.exit("d3gan: error: unknown key")
try:
    with run.locked():
        if word.suffix == ".toml" and run.exists():
            raise UserError(f"there is a run at {run.path} already")
        run.begin(text, {})
        write_status("running", 0)
        log("begins")
        if does == "fail":
            write_status("failed", 3, "it cannot be done")
            sys.exit("d3gan: error: this line is not read")
        if does == "diverge":
            write_status("diverged", 3, "loss_g is not finite")
            sys.exit(2)
        if does == "end":
            sys.exit(0)
        if does == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        while does == "meet" and events().count("begins") < 2:
            time.sleep(0.01)
        while does == "wait" and not received:
            time.sleep(0.01)
        if received:
            save(5)
            write_status("interrupted", 5)
            log(f"received {int(received[0])}")
            sys.exit(128 + received[0])
        save(10)
        write_status("finished", 10)
        log("ends")
except UserError as error:
    print(f"d3gan: error: {error}")
    sys.exit(2)
"""


class Stub:
    """What the program is asked to do with each run, and what it did."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "stub.py").write_text(STUB)
        (folder / "journal").touch()
        self.does({})

    def does(self, what: dict[str, str]) -> None:
        (self.folder / "does.json").write_text(json.dumps(what))

    def journal(self) -> list[list[Any]]:
        return [json.loads(line) for line in (self.folder / "journal").read_text().splitlines()]

    def events(self) -> list[tuple[str, str]]:
        return [(event, name) for event, name, *_ in self.journal()]


def make_stub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    """Replace `d3gan train` by the program, and poll it often."""
    monkeypatch.setattr(running, "SECONDS_BETWEEN_POLLS", 0.02)
    monkeypatch.setattr(launchers, "PROGRAM", (sys.executable, str(folder / "stub.py")))
    return Stub(folder)
