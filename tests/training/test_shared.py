"""Gradients averaged in shared memory are those that gloo averages."""

import dataclasses
from pathlib import Path

import pytest
import torch
from tests.program import group, weights
from tests.training.test_distributed import together

from d3gan.config import Config

BOTH = """
import sys, time
import torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from d3gan.training import distributed
from d3gan.training.distributed.shared import SharedMean, shared_mean

with distributed.process_group("cpu", 30):
    rank = dist.get_rank()
    if rank == 1:  # that reads late what was laid down, while the other one goes on
        barrier = dist.barrier
        dist.barrier = lambda group: (barrier(group), time.sleep(0.05))
    gradients = []
    for shared in (True, False):
        torch.manual_seed(0)
        network = torch.nn.Sequential(*(torch.nn.Linear(64, 64) for _ in range(6))).double()
        buckets = DistributedDataParallel(
            network, bucket_cap_mb=0.05, gradient_as_bucket_view=True
        )
        if shared:
            mean = shared_mean(network, dist.group.WORLD)
            assert mean is not None
            buckets.register_comm_hook(mean, SharedMean.take)
        found = []
        for step in range(5):
            network.zero_grad()
            x = torch.randn(8, 64, generator=torch.Generator().manual_seed(2 * step + rank))
            buckets(x.double()).square().sum().backward()
            found.append([parameter.grad.clone() for parameter in network.parameters()])
        gradients.append(found)
    for one, other in zip(*gradients, strict=True):
        assert all(map(torch.equal, one, other))
        assert any(gradient.any() for gradient in one)
    print("same", mean.slots.shape[1])
"""


def test_the_mean_is_the_same_bit_for_bit() -> None:
    """Of several buckets, over several passes, and where one process is slower than the other."""
    for process in group(BOTH):
        assert process.stdout.split() == ["same", "2"], process.stderr


@pytest.mark.slow
def test_a_run_is_the_same_bit_for_bit(tiny: Config, tmp_path: Path) -> None:
    one, other = (
        weights(together(dataclasses.replace(tiny, out_dir=str(tmp_path / name)), tmp_path, 2,
                         train={"shared_memory": shared}))
        for name, shared in (("shared", True), ("gloo", False))
    )  # fmt: skip
    assert all(torch.equal(one[name], other[name]) for name in one)


MEMORY = """
import errno, os, sys, tempfile
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch
import torch
from d3gan.training import distributed
from d3gan.training.distributed import shared

def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")

with distributed.process_group("cpu", 30):
    shared.FOLDER, rank = Path(sys.argv[1]), distributed.rank()
    cases = {
        "one machine": nullcontext(),
        "no such folder": patch.object(shared, "FOLDER", shared.FOLDER / "missing"),
        "no room": patch.object(os, "posix_fallocate", full),
        "no right": patch.object(tempfile, "mkstemp", full),
        "not this system": patch.object(shared, "os", object()),
        "another machine": patch.object(Path, "exists", lambda self: rank == 0),
    }
    for name, case in cases.items():
        with case:
            memory = shared.shared_memory((2, 3), torch.float64, None)
        if memory is not None:
            memory[rank] = rank + 1
        distributed.barrier()
        print(name + ":", None if memory is None else memory.tolist(), flush=True)
"""


def test_all_see_the_memory_or_none(tmp_path: Path) -> None:
    """And no file is left of it."""
    for process in group(MEMORY, tmp_path):
        assert process.stdout.splitlines() == [
            "one machine: [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]",
            "no such folder: None",
            "no room: None",
            "no right: None",
            "not this system: None",
            "another machine: None",
        ], process.stderr
    assert not list(tmp_path.iterdir())
