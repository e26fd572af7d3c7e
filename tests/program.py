"""The program from outside, as a user runs it."""

import json
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from d3gan import config as configs
from d3gan.config import Config
from d3gan.runs import RunFolder
from d3gan.training.checkpoint import newest_checkpoint


def start(*arguments: object, **environment: str) -> "subprocess.Popen[str]":
    """`d3gan arguments...` in a process of its own, with one thread."""
    return subprocess.Popen(
        [sys.executable, "-m", "d3gan", *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def d3gan(*arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run it to its end."""
    process = start(*arguments, **environment)
    output, errors = process.communicate(timeout=240)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def written(config: Config, folder: Path, **sections: dict[str, Any]) -> Path:
    """The config as a file to train from, changed by `sections`."""
    file = folder / f"{config.name}.toml"
    file.write_text(configs.to_toml(configs.from_dict(sections, config)), encoding="utf-8")
    return file


def wait_for(condition: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    """Until `condition` holds; fails if the process ends before, or after a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def weights(run: Path) -> dict[str, torch.Tensor]:
    """All networks' tensors of the run's newest checkpoint."""
    saved = newest_checkpoint(RunFolder(run))
    assert saved is not None
    return {
        f"{part}.{name}": tensor
        for part in ("generator", "discriminators", "average")
        for name, tensor in saved[part].items()
    }


def chosen(run: Path) -> list[int]:
    """The discriminator chosen at every step."""
    rows = [row for row in RunFolder(run).metrics() if row["kind"] == "train"]
    return [k for row in rows for k in row["chosen"]]


def torchrun(*arguments: object, restarts: int) -> "subprocess.Popen[str]":
    """`d3gan arguments...` by two processes that are restarted together."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node=2", f"--max-restarts={restarts}", "--monitor-interval=0.1"]
    return subprocess.Popen(
        [*command, "-m", "d3gan", *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def group(code: str, *arguments: object) -> list["subprocess.CompletedProcess[str]"]:
    """Two processes of one group that run `code` with d3gan's arguments; their ends."""
    port = free_port()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            env=os.environ
            | {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            | {"WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    ends = []
    for process in processes:
        try:
            output, errors = process.communicate(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
            output, errors = process.communicate()
        ends.append(subprocess.CompletedProcess(process.args, process.returncode, output, errors))
    return ends


COUNTED = """
import json, sys
import torch
from torch.profiler import ProfilerActivity, profile
from d3gan.training import distributed
from d3gan.training.distributed.shared import SharedMean
from d3gan.training.engines import Engine
step, take, shared = Engine.step, SharedMean.take, []
def taking(mean, bucket):
    shared.append(["shared memory", [[len(bucket.buffer())]]])
    return take(mean, bucket)
SharedMean.take = taking
def counting(engine):
    if engine.state.step != 5:
        return step(engine)
    shared.clear()
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        losses = step(engine)
    if distributed.is_main():
        events = [e for e in profiler.events() if e.name.startswith("gloo:")]
        print(json.dumps([[e.name, e.input_shapes] for e in events] + shared))
    return losses
Engine.step = counting
from d3gan.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def collectives(config: Path) -> list[tuple[str, int]]:
    """Each collective of one step of two processes: its kind and how many numbers it moves."""
    main, other = group(COUNTED, "train", config)
    assert main.returncode == other.returncode == 0, main.stderr + other.stderr
    found = json.loads(next(line for line in main.stdout.splitlines() if line.startswith("[")))
    return [(name, sum(map(math.prod, shapes))) for name, shapes in found]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
