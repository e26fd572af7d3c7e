"""Two hosts, made of network namespaces and a virtual cable between them: pytest -n 0 -m hosts"""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.program import finish, start_process, wait_for, written

from d3gan import config as configs
from d3gan.config import Config
from d3gan.runs import RunFolder

ADDRESSES = {"d3gan-a": "10.213.77.1", "d3gan-b": "10.213.77.2"}


def ip(*arguments: str) -> None:
    finish(start_process(["ip", *arguments]), timeout=20).check_returncode()


@pytest.fixture
def hosts() -> Iterator[list[str]]:
    """The names of two namespaces that reach each other."""
    if not shutil.which("ip"):
        pytest.skip("there is no program ip here to make network namespaces")
    a, b = ADDRESSES
    try:
        try:
            for name in (a, b):
                ip("netns", "add", name)
            ip("link", "add", a, "netns", a, "type", "veth", "peer", "name", b, "netns", b)
            for name, address in ADDRESSES.items():
                ip("-n", name, "address", "add", f"{address}/24", "dev", name)
                ip("-n", name, "link", "set", name, "up")
                ip("-n", name, "link", "set", "lo", "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces cannot be made here: {error.stderr.strip()}")
        yield [a, b]
    finally:
        for name in (a, b):
            finish(start_process(["ip", "netns", "delete", name]), timeout=20)


def agent(host: str, port: int, *arguments: object) -> "subprocess.Popen[str]":
    """One host's torchrun with one process."""
    flags = [
        "--nnodes=2",
        "--nproc-per-node=1",
        "--rdzv-backend=c10d",
        "--rdzv-id=1",
        "--max-restarts=3",
    ]
    flags += [f"--rdzv-endpoint={ADDRESSES['d3gan-a']}:{port}", f"--local-addr={ADDRESSES[host]}"]
    # torchrun finds out whether it is the host by the machine's name, and both have the same here.
    flags += [f"--rdzv-conf=is_host={int(host == 'd3gan-a')}"]
    program = [sys.executable, "-m", "torch.distributed.run", *flags, "-m", "d3gan", *arguments]
    return start_process(["ip", "netns", "exec", host, *program], GLOO_SOCKET_IFNAME=host)


@pytest.mark.hosts
@pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")
def test_two_hosts_train_on_after_the_cable_was_pulled(
    hosts: list[str], tiny: Config, tmp_path: Path
) -> None:
    """For longer than a process waits: the processes end, and are started again on both hosts."""
    keys = {"epochs": 60.0, "timeout_seconds": 10.0}
    config = configs.from_dict({"train": keys, "checkpoint": {"every_epochs": 0.4}}, tiny)
    file = written(config, tmp_path)
    run = RunFolder(config.run_dir)
    both = [agent(host, 29511, "train", file) for host in hosts]
    wait_for(lambda: any(run.checkpoints.glob("step-*.pt")), both[0])
    ip("-n", hosts[0], "link", "set", hosts[0], "down")
    time.sleep(15)
    ip("-n", hosts[0], "link", "set", hosts[0], "up")
    ends = [finish(process, timeout=200) for process in both]
    said = "".join(end.stderr for end in ends)
    assert [end.returncode for end in ends] == [0, 0], said
    assert "lost the other processes at step" in said
    assert run.metrics()[-1]["step"] == 300
    assert len(run.sessions()) > 1
    steps = [row["step"] for row in run.metrics()]
    assert steps == sorted(set(steps))
