"""CPUs and memory that this process may use: those of the machine, within its cgroups' limits.

Containers and batch systems limit a process by cgroups, which neither `os.cpu_count` nor the
system's free memory take into account. `root` is the folder in which ``proc`` and the cgroups are
mounted. Elsewhere than on Linux there are no such files, and only the system's own numbers count.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

ROOT = Path("/")


class Cgroup(NamedTuple):
    """A cgroup of this process, or one that contains it."""

    version: int
    """1 or 2"""
    folder: Path


def usable_cpus(root: Path = ROOT) -> int:
    """Return the number of CPUs that this process may use, at least 1.

    It is the smallest of the CPUs in the process's affinity mask and the CPU quotas of its cgroups;
    a quota of 1.5 CPUs counts as 2.
    """
    quotas = [quota for cgroup in cgroups("cpu", root) if (quota := _cpu_quota(cgroup))]
    return min([_cpus_of_the_system(), *quotas])


def available_memory(root: Path = ROOT) -> int | None:
    """Return the memory that this process may still allocate, in bytes; None if it is unknown.

    It is the smallest of the memory that the system has available and what the cgroups leave. Pages
    of files that are only cached count as available.
    """
    limits = [_memory_left(cgroup) for cgroup in cgroups("memory", root)]
    known = [limit for limit in (_memory_of_the_system(root), *limits) if limit is not None]
    return min(known, default=None)


def cgroups(controller: str, root: Path = ROOT) -> Iterator[Cgroup]:
    """Yield the cgroups whose limits of `controller` (cpu, memory) apply to this process.

    Limits are hierarchical, so these are the process's own cgroup and those that contain it, as far
    up as they are mounted. On systems with both versions, the files of one of them are missing.
    """
    own: dict[str, str] = {}  # v1: path by controller; v2: by ""
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        own |= dict.fromkeys(controllers.split(","), path)
    for line in _lines(root / "proc/self/mountinfo"):
        # The optional fields before the dash vary in number.
        left, _, right = line.partition(" - ")
        _, _, _, mounted, mount_point, *_ = left.split(" ")
        kind, _, options = right.split(" ", 2)
        if kind == "cgroup2" and "" in own:
            version, path = 2, own[""]
        elif kind == "cgroup" and controller in options.split(",") and controller in own:
            version, path = 1, own[controller]
        else:
            continue
        top = root / _unescaped(mount_point).lstrip("/")
        for part in _up_from(path, _unescaped(mounted)):
            yield Cgroup(version, top / part)


def _up_from(path: str, mounted: str) -> Iterator[PurePosixPath]:
    """Yield the cgroup `path` relative to `mounted`, the top of the mount, and those above it.

    Some containers see only their own cgroup, mounted at the top, but the name that it has outside.
    """
    part = PurePosixPath()
    if PurePosixPath(path).is_relative_to(mounted) and ".." not in PurePosixPath(path).parts:
        part = PurePosixPath(path).relative_to(mounted)
    yield part
    yield from part.parents


def _unescaped(text: str) -> str:
    r"""Return a path of mountinfo, where a space is written as ``\040``."""
    return text.replace(r"\040", " ")


def _cpus_of_the_system() -> int:
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_quota(cgroup: Cgroup) -> int | None:
    """Return the CPUs that a cgroup may use, rounded up; None without a quota."""
    if cgroup.version == 2:
        text = _text(cgroup.folder / "cpu.max").split()  # "150000 100000" or "max 100000"
    else:
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")  # a quota of -1 is none
        text = [_text(cgroup.folder / name) for name in names]
    if len(text) != 2 or not all(value.isdecimal() for value in text):
        return None
    quota, period = map(int, text)
    return -(-quota // period) if quota and period else None


def _memory_left(cgroup: Cgroup) -> int | None:
    """Return the bytes that a cgroup may still allocate; None without a limit."""
    limit, usage, cached = {
        1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        2: ("memory.max", "memory.current", "inactive_file"),
    }[cgroup.version]
    texts = [_text(cgroup.folder / name) for name in (limit, usage)]
    if not all(text.isdecimal() for text in texts):  # "max" is no limit
        return None
    most, used = map(int, texts)
    statistics = [line.split() for line in _lines(cgroup.folder / "memory.stat")]
    # The kernel drops cached pages of files before it refuses memory.
    reclaimable = sum(int(line[1]) for line in statistics if line[0] == cached)
    return max(0, most - used + reclaimable)


def _memory_of_the_system(root: Path) -> int | None:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _text(file: Path) -> str:
    """Return the content of a file without surrounding white space; "" if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8", errors="surrogateescape").strip()
    except OSError:
        return ""


def _lines(file: Path) -> list[str]:
    return _text(file).splitlines()
