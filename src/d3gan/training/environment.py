"""Versions, hardware and source on which the results of a run depend, besides its configuration."""

import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from d3gan.acceleration.processor import processor_features, processor_name
from d3gan.config import Config, plugins
from d3gan.devices import gpu_names
from d3gan.machine import usable_cpus
from d3gan.training import distributed


def environment(config: Config | None = None) -> dict[str, Any]:
    """Return versions, hardware, commit, command and plugins: plain values for environment.json."""
    packages = ("d3gan", "torch", "numpy", "pillow", "pyarrow", "mlxtend")
    cuda = torch.version.cuda if torch.cuda.is_available() else None
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": _command(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in packages},
        "commit": _commit(),
        "cpu": processor_name(),
        "cpu_features": processor_features(),
        "cpus": usable_cpus(),
        "threads": torch.get_num_threads(),
        "processes": distributed.world_size(),
        "launch": distributed.launch_name(),
        "gpus": gpu_names(),
        "cuda": cuda,
        "plugins": plugins(config) if config else {},
    }


def hardware() -> dict[str, Any]:
    """Return the part of `environment` on which the results of a benchmark depend."""
    names = (
        *("time", "commit", "cpu", "cpu_features", "cpus", "threads", "gpus", "cuda"),
        *("python", "platform", "packages"),
    )
    here = environment()
    return {name: here[name] for name in names}


def _version(package: str) -> str | None:
    """Return the version of a package; None if it is not installed (d3gan may run from source)."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _command() -> list[str]:
    """Return the command line, with the name of the program instead of its path."""
    program, *arguments = sys.argv
    name = Path(program).name
    return ["d3gan" if name in ("__main__.py", "d3gan", "d3gan.exe") else name, *arguments]


def _commit() -> str | None:
    """Return the commit of the source that runs; None if it is not under version control."""
    try:
        git = ["git", "-C", str(Path(__file__).parent)]
        subprocess.run(
            [*git, "ls-files", "--error-unmatch", Path(__file__).name],
            check=True,
            capture_output=True,
        )
        described = subprocess.run(
            [*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        return described.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
