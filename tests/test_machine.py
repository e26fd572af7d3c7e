"""CPUs and memory within the limits of cgroups, read from made-up file trees."""

import os
import sys
from pathlib import Path

import pytest

from d3gan import machine
from d3gan.machine import available_memory, usable_cpus

V2_MOUNT = (
    "41 31 0:38 {mounted} {point} rw,nosuid shared:4 master:1 - cgroup2 cgroup2 rw,nsdelegate"
)
V1_MOUNT = "35 31 0:32 {mounted} {point} rw,nosuid - cgroup cgroup rw,{controllers}"
MiB = 2**20


@pytest.fixture(autouse=True)
def _sixteen_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_cpus_of_the_system", lambda: 16)


def write(root: Path, files: dict[str, str]) -> Path:
    """Write files below `root`; return it."""
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return root


def system(root: Path, own: str, mounts: str, **files: str) -> Path:
    """Write the files of a system with 8,000 MiB of available memory; ``__`` stands for ``/``."""
    proc = {
        "proc/self/cgroup": own,
        "proc/self/mountinfo": f"31 23 0:28 / /sys rw - tmpfs tmpfs rw\n{mounts}",
        "proc/meminfo": f"MemTotal: 9999999 kB\nMemAvailable: {8000 * 1024} kB",
    }
    below = {f"sys/fs/cgroup/{name}".replace("__", "/"): text for name, text in files.items()}
    return write(root, proc | below)


def v2(root: Path, files: dict[str, str], *, own: str = "/", mounted: str = "/") -> Path:
    mount = V2_MOUNT.format(mounted=mounted, point="/sys/fs/cgroup")
    return system(root, f"0::{own}", mount, **files)


def v1(root: Path, files: dict[str, str], *, own: str = "/", mounted: str = "/") -> Path:
    mounts = "\n".join(
        V1_MOUNT.format(mounted=mounted, point=f"/sys/fs/cgroup/{name}", controllers=name)
        for name in ("cpu,cpuacct", "memory")
    )
    return system(root, f"9:name=systemd:/\n4:memory:{own}\n1:cpu,cpuacct:{own}", mounts, **files)


def memory_v2(limit: str, used: int, cached: int = 0) -> dict[str, str]:
    return {
        "memory.max": limit,
        "memory.current": str(used),
        "memory.stat": f"anon 5\nfile 7\ninactive_file {cached}\nactive_file 3",
    }


def memory_v1(limit: int, used: int, cached: int = 0) -> dict[str, str]:
    return {
        "memory.limit_in_bytes": str(limit),
        "memory.usage_in_bytes": str(used),
        "memory.stat": f"inactive_file 1\ntotal_inactive_file {cached}",
    }


def inside(folder: str, files: dict[str, str]) -> dict[str, str]:
    return {f"{folder}/{name}": text for name, text in files.items()}


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [
        ("max 100000", 16),
        ("400000 100000", 4),
        ("150000 100000", 2),  # rounded up
        ("10000 100000", 1),  # at least one
        ("6400000 100000", 16),
        ("nonsense", 16),
    ],
)
def test_the_cpu_quota_of_version_2(quota: str, cpus: int, tmp_path: Path) -> None:
    assert usable_cpus(v2(tmp_path, {"cpu.max": quota})) == cpus


@pytest.mark.parametrize(
    ("quota", "cpus"), [("-1", 16), ("300000", 3), ("250000", 3), ("10000", 1), ("9900000", 16)]
)
def test_the_cpu_quota_of_version_1(quota: str, cpus: int, tmp_path: Path) -> None:
    files = {"cpu.cfs_quota_us": quota, "cpu.cfs_period_us": "100000"}
    assert usable_cpus(v1(tmp_path, inside("cpu,cpuacct", files))) == cpus


@pytest.mark.parametrize(
    ("limit", "used", "cached", "left"),
    [
        ("max", 100, 0, 8000),
        (str(1000 * MiB), 300, 0, 700),
        (str(1000 * MiB), 900, 250, 350),  # cached files are dropped when memory is needed
        (str(1000 * MiB), 1001, 0, 0),
        (str(99_000 * MiB), 300, 0, 8000),  # more than the system has
    ],
)
def test_the_memory_limit_of_version_2(
    limit: str, used: int, cached: int, left: int, tmp_path: Path
) -> None:
    root = v2(tmp_path, memory_v2(limit, used * MiB, cached * MiB))
    assert available_memory(root) == left * MiB


@pytest.mark.parametrize(
    ("limit", "used", "cached", "left"),
    [(2**63 - 4096, 100, 0, 8000), (1000 * MiB, 300, 0, 700), (1000 * MiB, 900, 250, 350)],
)
def test_the_memory_limit_of_version_1(
    limit: int, used: int, cached: int, left: int, tmp_path: Path
) -> None:
    files = inside("memory", memory_v1(limit, used * MiB, cached * MiB))
    assert available_memory(v1(tmp_path, files)) == left * MiB


@pytest.mark.parametrize("tightest", ["", "job", "job/step"])
def test_the_tightest_cgroup_up_to_the_root_counts(tightest: str, tmp_path: Path) -> None:
    limits = dict.fromkeys(["", "job", "job/step"], (memory_v2(str(900 * MiB), 0), "900000 100000"))
    limits[tightest] = memory_v2(str(200 * MiB), 50 * MiB), "200000 100000"
    files = {"elsewhere/memory.max": "1", "elsewhere/cpu.max": "100000 100000"}
    for folder, (memory, cpus) in limits.items():
        files |= inside(folder or ".", memory | {"cpu.max": cpus})
    root = v2(tmp_path, files, own="/job/step")
    assert available_memory(root) == 150 * MiB
    assert usable_cpus(root) == 2


@pytest.mark.parametrize("make", [v1, v2])
@pytest.mark.parametrize(
    ("own", "mounted"),
    [
        ("/docker/a b", "/docker/a\\040b"),  # the container sees only its own cgroup
        ("/docker/ab", "/"),  # named as outside, though it is at the top of the mount
        ("/../ab", "/"),  # outside of the process's cgroup namespace
    ],
)
def test_cgroups_in_containers(make: object, own: str, mounted: str, tmp_path: Path) -> None:
    files = {
        **memory_v2(str(500 * MiB), 100 * MiB),
        **inside("memory", memory_v1(500 * MiB, 100 * MiB)),
    }
    root = make(tmp_path, files, own=own, mounted=mounted)  # type: ignore[operator]
    assert available_memory(root) == 400 * MiB


def test_limits_of_either_version_apply_on_systems_with_both(tmp_path: Path) -> None:
    mounts = "\n".join(
        (
            V1_MOUNT.format(mounted="/", point="/sys/fs/cgroup/memory", controllers="memory"),
            V2_MOUNT.format(mounted="/", point="/sys/fs/cgroup/unified"),
        )
    )
    files = {
        **inside("memory/job", memory_v1(600 * MiB, 0)),
        "unified/service/cpu.max": "300000 100000",
    }
    root = system(tmp_path, "4:memory:/job\n1:cpu:/\n0::/service", mounts, **files)
    assert available_memory(root) == 600 * MiB
    assert usable_cpus(root) == 3


def test_without_the_files_only_the_system_counts(tmp_path: Path) -> None:
    """As on Windows and macOS, which have no /proc."""
    assert usable_cpus(tmp_path) == 16
    assert available_memory(tmp_path) is None


def test_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert 1 <= usable_cpus() <= (os.cpu_count() or 1)
    if sys.platform == "linux":
        memory = available_memory()
        assert memory is not None
        assert 2**20 < memory < 2**50


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has affinity masks in os")
def test_the_affinity_mask_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cpus(tmp_path) == 1
    finally:
        os.sched_setaffinity(0, before)
