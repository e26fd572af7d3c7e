"""How the process of a training run uses the CPUs and the memory of its machine."""

import os

import torch

from d3gan.acceleration.memory import keep_freed_memory
from d3gan.machine import usable_cpus


def prepare_process() -> None:
    """Limit torch's threads (`limit_threads`), and keep freed memory (`keep_freed_memory`)."""
    limit_threads()
    keep_freed_memory()


def use_deterministic_algorithms(deterministic: bool) -> None:
    """Make torch use deterministic algorithms only, or any, on all devices."""
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # torch requires it
    torch.use_deterministic_algorithms(deterministic)


def limit_threads() -> None:
    """Limit torch's threads to the CPUs that this process may use.

    By default torch starts one thread per core, also where a cgroup allows fewer CPUs; threads that
    wait for each other's turn make every operation slower. $OMP_NUM_THREADS and smaller numbers
    are kept.
    """
    if not os.environ.get("OMP_NUM_THREADS") and torch.get_num_threads() > usable_cpus():
        torch.set_num_threads(usable_cpus())
