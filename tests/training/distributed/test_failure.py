"""Processes that are killed, hang or fail: the others report it, and the run continues from its
checkpoint."""

import dataclasses
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from tests.program import children, group, start, torchrun, wait_for, weights, written

from d3gan.config import Config
from d3gan.runs import RunFolder
from d3gan.training.trainer import train

LONG = {"train": {"batch_size": 8, "epochs": 30.0}, "checkpoint": {"every_epochs": 0.4}}
"""150 steps, a checkpoint every second one."""


linux = pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")


@linux
@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_run_whose_workers_are_killed_ends_with_the_same_weights(
    tiny: Config, tmp_path: Path
) -> None:
    """A random one of two, at a random time; in $KILLS jobs, 3 by default."""
    draw = random.Random(time.time_ns())
    alone = written(dataclasses.replace(tiny, name="alone"), tmp_path, **LONG)
    begun = time.monotonic()
    undisturbed = torchrun("train", alone, restarts=0)
    _, errors = undisturbed.communicate(timeout=200)
    assert undisturbed.returncode == 0, errors
    seconds = time.monotonic() - begun
    whole = weights(tiny.run_dir.with_name("alone"))
    restarted = 0
    for number in range(int(os.environ.get("KILLS", "3"))):
        config = dataclasses.replace(tiny, name=f"killed-{number}")
        process = torchrun("train", written(config, tmp_path, **LONG), restarts=3)
        moment = draw.uniform(0.2, 0.95) * seconds
        time.sleep(moment)
        workers = children(process.pid)
        if process.poll() is None and workers:
            os.kill(draw.choice(workers), signal.SIGKILL)
        _, errors = process.communicate(timeout=200)
        assert process.returncode == 0, (moment, errors)
        one = weights(config.run_dir)
        assert all(torch.equal(one[name], whole[name]) for name in whole), moment
        restarted += len(RunFolder(config.run_dir).sessions()) > 1
    print(f"{restarted} of them were killed after their first step")


@linux
@pytest.mark.slow
def test_a_killed_worker_is_restarted_and_continues(tiny: Config, tmp_path: Path) -> None:
    process = torchrun("train", written(tiny, tmp_path, **LONG), restarts=1)
    run = RunFolder(tiny.run_dir)
    wait_for(lambda: any(run.checkpoints.glob("step-*.pt")), process)
    os.kill(children(process.pid)[1], signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    first, second = run.sessions()
    assert first["launch"] == second["launch"] is not None
    rows = run.metrics()
    assert [row["step"] for row in rows] == sorted({row["step"] for row in rows})
    assert rows[-1]["step"] == 150


@linux
@pytest.mark.slow
def test_a_restart_does_not_take_over_a_run_of_another_launch(tiny: Config, tmp_path: Path) -> None:
    before = weights(train(tiny).path)
    process = torchrun("train", written(tiny, tmp_path), restarts=2)
    _, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "there is a run at" in errors
    after = weights(tiny.run_dir)
    assert all(torch.equal(after[name], before[name]) for name in before)


ENDLESS = {"train": {"batch_size": 8, "epochs": 10_000.0}, "checkpoint": {"every_epochs": 0.4}}


def has_ended(number: int) -> bool:
    """Return whether no process of this id computes any more."""
    try:
        stat = Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] in "XZ"


@linux
@pytest.mark.slow
def test_torchruns_signal_does_not_hide_which_rank_was_lost(tiny: Config, tmp_path: Path) -> None:
    process = torchrun("train", written(tiny, tmp_path, **ENDLESS))
    run = RunFolder(tiny.run_dir)
    wait_for(lambda: any(run.checkpoints.glob("step-*.pt")), process)
    os.kill(children(process.pid)[1], signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    (line,) = (line for line in errors.splitlines() if line.startswith("d3gan: error: "))
    assert line.startswith("d3gan: error: rank 0 lost the other processes at step ")
    assert ": rank 1 has ended (" in line


@linux
@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "d3gan"])
def test_ranks_save_and_end_if_their_launcher_is_killed(
    tiny: Config, tmp_path: Path, launcher: str
) -> None:
    file = written(tiny, tmp_path, **ENDLESS)
    run = RunFolder(tiny.run_dir)
    if launcher == "torchrun":
        process = torchrun("train", file)
    else:
        process = start("train", file, "--processes", 2)
    wait_for(lambda: any(run.checkpoints.glob("step-*.pt")), process)
    workers = children(process.pid)
    assert len(workers) == 2
    process.kill()
    deadline = time.monotonic() + 30
    while not all(map(has_ended, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = [worker for worker in workers if not has_ended(worker)]
    for worker in left:
        os.kill(worker, signal.SIGKILL)
    assert not left
    status = run.status()
    assert status is not None
    assert status.state == "interrupted"
    assert status.message.startswith("interrupted at step ")


HANGS = """
import sys, time
from d3gan.training import distributed
from d3gan.training.engine import Engine
step = Engine.step
def hanging(engine):
    if engine.state.step == 7 and distributed.rank() == 1:
        time.sleep(15)
    return step(engine)
Engine.step = hanging
from d3gan.cli.main import main
sys.exit(main(sys.argv[1:]))
"""

FAILS = HANGS.replace("time.sleep(15)", 'raise ZeroDivisionError("of this rank")')


@pytest.mark.slow
def test_waiting_for_a_process_that_hangs_is_bounded(tiny: Config, tmp_path: Path) -> None:
    file = written(tiny, tmp_path, train={"timeout_seconds": 3.0})
    waiting, _ = group(HANGS, "train", file)
    assert waiting.returncode == 1
    first, *_, line = waiting.stderr.splitlines()
    assert first.startswith("d3gan: tiny: 10 steps of 8 images")
    assert line.startswith("d3gan: error: rank 0 lost the other processes at step 7")
    assert RunFolder(tiny.run_dir).checkpoint_file(5).exists()


@pytest.mark.slow
def test_one_process_that_fails_ends_all_with_a_line(tiny: Config, tmp_path: Path) -> None:
    begun = time.monotonic()
    other, failing = group(FAILS, "train", written(tiny, tmp_path))
    assert time.monotonic() - begun < 30
    assert failing.returncode == 1
    assert "ZeroDivisionError: of this rank" in failing.stderr
    assert other.returncode == 1
    *_, line = other.stderr.splitlines()
    assert line.startswith("d3gan: error: rank 0 lost the other processes at step 7")
    status = RunFolder(tiny.run_dir).status()
    assert status is not None
    assert status.state == "failed"
    assert status.message.startswith("rank 0 lost the other processes at step 7")


@pytest.mark.slow
def test_a_preempted_run_saves_a_checkpoint(tiny: Config, tmp_path: Path) -> None:
    """Slurm sends SIGTERM to every process."""
    file = written(tiny, tmp_path, train={"batch_size": 8, "epochs": 10_000.0})
    process = start("train", file, "--processes", 2)
    run = RunFolder(tiny.run_dir)
    wait_for(lambda: any(run.checkpoints.glob("step-*.pt")), process)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "a checkpoint is saved; continue with" in errors
