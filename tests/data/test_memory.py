"""Memory of several processes that train on the same images."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.program import start_process

from d3gan.data.cache_entry import FACTS
from d3gan.data.cache_entry import IMAGES as IMAGE_NAME
from d3gan.data.image_file import ImageFile

IMAGES, SHAPE, PROCESSES = 1_000_000, (3, 32, 32), 4
COPY = IMAGES * int(np.prod(SHAPE))
"""Bytes of the images."""
MARKED = 1000
"""Every so many images, one is not black."""

CHILD = """
import sys
from pathlib import Path

import torch

from d3gan.data.cache_entry import read_entry
from d3gan.data.loader import Resident, make_loader

BATCH = 250


def order(number):
    return torch.arange(number * BATCH, (number + 1) * BATCH), None


def marks(loader, batches):
    # Gathers so many batches, and counts the pixels that are not black.
    return sum(int((loader.images(*loader.prepare(n)[:2]) > -1).sum()) for n in range(batches))


device = torch.device("cpu")
small = torch.zeros((BATCH, 3, 32, 32), dtype=torch.uint8).numpy()
marks(make_loader(small, None, order, device, torch.float32), 1)  # starts what torch needs
print("ready", flush=True)
sys.stdin.readline()
entry = read_entry(Path(sys.argv[1]))
loader = make_loader(entry.images, None, order, device, torch.float32, "always")
assert isinstance(loader, Resident)
print(marks(loader, len(entry.images) // BATCH), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def entry(tmp_path: Path) -> Iterator[Path]:
    """Entry of the cache that holds so many images, almost all of them black."""
    free = shutil.disk_usage(tmp_path).free
    if free < 2 * COPY:
        pytest.skip(f"needs {2 * COPY / 1e9:.0f} GB on the disk of {tmp_path}; {free / 1e9:.0f} GB")
    folder = tmp_path / "entry"
    folder.mkdir()
    rows = 10 * MARKED
    block = np.zeros((rows, *SHAPE), np.uint8)
    block[::MARKED, 0, 0, 0] = 255
    with ImageFile(folder / IMAGE_NAME, (IMAGES, *SHAPE)) as images:
        for _ in range(IMAGES // rows):
            images.write(block)
    facts = {name: np.zeros(IMAGES, bool) for name in ("sizes", "colour_dropped")}
    labels = np.full(IMAGES, -1)
    np.savez(
        folder / FACTS, shape=(IMAGES, *SHAPE), crc32=images.crc32, skipped=np.array([], np.str_),
        labels=labels, source_labels=labels, **facts,
    )  # fmt: skip
    yield folder
    shutil.rmtree(folder)


def proportional_set_size(process: "subprocess.Popen[str]") -> int:
    """Return the bytes of a process, with its part of what it shares with others."""
    for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError("no proportional set size")


def answer(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def go_on(process: "subprocess.Popen[str]") -> None:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's /proc/PID/smaps_rollup"
)
def test_processes_share_one_copy_of_the_images(entry: Path) -> None:
    processes = [
        start_process([sys.executable, "-c", CHILD, entry], stdin=subprocess.PIPE)
        for _ in range(PROCESSES)
    ]
    assert [answer(process) for process in processes] == ["ready"] * PROCESSES
    before = sum(map(proportional_set_size, processes))
    for process in processes:
        go_on(process)
    marked = str(IMAGES // MARKED)
    assert [answer(process) for process in processes] == [marked] * PROCESSES
    grown = sum(map(proportional_set_size, processes)) - before
    for process in processes:
        go_on(process)
        assert process.wait(timeout=60) == 0
    print(f"{PROCESSES} processes grew by {grown / 1e9:.2f} GB, {grown / COPY:.3f} copies")
    assert 0.9 * COPY < grown < 1.2 * COPY
