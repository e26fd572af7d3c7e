"""Run the program from outside, as a user does, in processes that end with the test."""

import json
import math
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import pytest
import torch

from d3gan import config as configs
from d3gan.config import Config
from d3gan.runs import RunFolder
from d3gan.training.checkpoint import newest_checkpoint

posix_signals = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows ends a process by SIGTERM at once"
)
symbolic_links = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows lets only some users make symbolic links"
)

STARTED: list["subprocess.Popen[str]"] = []
"""Processes of the running test; the fixture `_processes_end` of conftest.py ends them."""


def start_process(
    command: Sequence[object],
    *,
    folder: Path | None = None,
    stdin: int | None = None,
    stdout: int | IO[str] = subprocess.PIPE,
    stderr: int | IO[str] = subprocess.PIPE,
    encoding: str | None = None,
    **environment: str,
) -> "subprocess.Popen[str]":
    """Start a process with one thread in its own session. It ends with the test at the latest."""
    process = subprocess.Popen(
        list(map(str, command)),
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        text=True,
        encoding=encoding,
        errors="replace",
        start_new_session=True,
    )
    STARTED.append(process)
    return process


def finish(process: "subprocess.Popen[str]", timeout: float) -> "subprocess.CompletedProcess[str]":
    """Wait for the end of a process at most `timeout` seconds; return its output."""
    output, errors = process.communicate(timeout=timeout)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def end_processes(grace_seconds: float = 5.0) -> None:
    """Terminate what was started, wait a bounded time, kill the process groups, and wait again."""
    workers = []  # those of torchrun are in sessions of their own, which a group's end misses
    for process in STARTED:
        if process.poll() is None:
            workers += descendants(process.pid)
            process.terminate()
    deadline = time.monotonic() + grace_seconds
    for process in STARTED:
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=max(0.0, deadline - time.monotonic()))
    for process in STARTED:
        kill_group(process)
        process.wait(timeout=10)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()
    for worker in workers:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    STARTED.clear()


def kill_group(process: "subprocess.Popen[str]") -> None:
    """Kill a started process and, where there are process groups, those that it has started."""
    if sys.platform == "win32":
        process.kill()
    else:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def children(parent: int) -> list[int]:
    """Return the process ids of a process's children. Needs Linux; elsewhere there are none."""
    file = Path(f"/proc/{parent}/task/{parent}/children")
    try:
        return [int(number) for number in file.read_text().split()]
    except OSError:
        return []


def descendants(parent: int) -> list[int]:
    """Return the process ids of a process's children, their children, and so on (Linux)."""
    return [number for child in children(parent) for number in (child, *descendants(child))]


def start(*arguments: object, **environment: str) -> "subprocess.Popen[str]":
    """Start `d3gan arguments...` in a process with one thread."""
    return start_process([sys.executable, "-m", "d3gan", *arguments], **environment)


def d3gan(*arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run `d3gan arguments...` to its end."""
    return finish(start(*arguments, **environment), timeout=240)


def run_code(
    code: str, *arguments: object, timeout: float = 120, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run Python code to its end; `arguments` are its sys.argv[1:]."""
    return finish(start_process([sys.executable, "-c", code, *arguments], **environment), timeout)


def written(config: Config, folder: Path, **sections: dict[str, Any]) -> Path:
    """Write the config, changed by `sections`, to a file that `train` reads; return the file."""
    file = folder / f"{config.name}.toml"
    file.write_text(configs.to_toml(configs.from_dict(sections, config)), encoding="utf-8")
    return file


def wait_for(condition: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    """Wait until `condition` holds; fail if the process ends first, or after a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, finish(process, timeout=10)
        assert time.monotonic() < deadline
        time.sleep(0.01)


def weights(run: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of all networks in the run's newest checkpoint."""
    saved = newest_checkpoint(RunFolder(run))
    assert saved is not None
    return {
        f"{part}.{name}": tensor
        for part in ("generator", "discriminators", "ema")
        for name, tensor in saved[part].items()
    }


def forget_config(run: RunFolder) -> None:
    """Remove the configuration from the run's checkpoints, which older versions did not save."""
    for file in run.checkpoints.glob("*.pt"):
        saved = torch.load(file, weights_only=True)
        del saved["config"]
        torch.save(saved, file)


def chosen(run: Path) -> list[int]:
    """Return the discriminator chosen at every step."""
    rows = [row for row in RunFolder(run).metrics() if row["kind"] == "train"]
    return [k for row in rows for k in row["chosen"]]


def torchrun(*arguments: object, restarts: int = 0) -> "subprocess.Popen[str]":
    """Start `d3gan arguments...` as two processes, which torchrun restarts together."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node=2", f"--max-restarts={restarts}", "--monitor-interval=0.1"]
    return start_process([*command, "-m", "d3gan", *arguments])


def group(
    code: str, *arguments: object, size: int = 2, timeout: float = 120
) -> list["subprocess.CompletedProcess[str]"]:
    """Run `code` with d3gan's arguments in the processes of one process group; return their ends.

    A process that does not end within `timeout` seconds is killed. On Linux the processes are
    forked from a server that has imported torch and d3gan, which otherwise takes seconds.
    """
    context = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
    context.set_forkserver_preload(["torch._dynamo", "d3gan.cli.train", "d3gan.training.trainer"])
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": str(size),
    }
    command = list(map(str, arguments))
    with tempfile.TemporaryDirectory() as name:
        processes = []
        for rank in range(size):
            of_rank = environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            outputs = [f"{name}/{rank}.out", f"{name}/{rank}.err"]
            processes.append(
                context.Process(target=_run_code, args=(code, command, of_rank, *outputs))
            )
        try:
            for process in processes:
                process.start()
            deadline = time.monotonic() + timeout
            for process in processes:
                process.join(max(0.0, deadline - time.monotonic()))
        finally:
            for process in processes:
                process.kill()
                process.join(10)
        return [
            subprocess.CompletedProcess(
                command,
                process.exitcode,
                *(Path(f"{name}/{rank}.{kind}").read_text() for kind in ("out", "err")),
            )
            for rank, process in enumerate(processes)
        ]


def _run_code(
    code: str, arguments: list[str], environment: dict[str, str], output: str, errors: str
) -> None:
    """Run Python code in this process as `python -c code arguments...` would."""
    for descriptor, file in ((1, output), (2, errors)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(1)
    sys.argv = ["-c", *arguments]
    exec(code, {"__name__": "__main__"})


MAIN = "import sys; from d3gan.cli.main import main; sys.exit(main(sys.argv[1:]))"
"""What `python -m d3gan` runs."""


COUNTED = """
import json, sys
from torch.profiler import ProfilerActivity, profile
from d3gan.training import distributed
from d3gan.training.engine import Engine
step = Engine.step
def counting(engine):
    if engine.state.step != 5:
        return step(engine)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        losses = step(engine)
    if distributed.is_main():
        events = [e for e in profiler.events() if e.name.startswith("gloo:")]
        print(json.dumps([[e.name, e.input_shapes] for e in events]))
    return losses
Engine.step = counting
from d3gan.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def collectives(config: Path) -> list[tuple[str, int]]:
    """Return the kind and the number of elements of each collective in a step of two processes."""
    main, other = group(COUNTED, "train", config)
    assert main.returncode == other.returncode == 0, main.stderr + other.stderr
    found = json.loads(next(line for line in main.stdout.splitlines() if line.startswith("[")))
    return [(name, sum(map(math.prod, shapes))) for name, shapes in found]


def free_port() -> int:
    """Return a TCP port that is free on this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
