"""How the process of a training run uses the CPUs and the memory of its machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from d3gan.acceleration.memory import keep_freed_memory
from d3gan.machine import usable_cpus


def prepare_process() -> None:
    """Limit torch's threads (`limit_threads`), and keep freed memory (`keep_freed_memory`)."""
    limit_threads()
    keep_freed_memory()


CUBLAS_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
"""Environment variable that torch requires for deterministic algorithms on CUDA."""


@contextmanager
def process_settings(*, deterministic: bool) -> Iterator[None]:
    """Prepare the process (`prepare_process`), and choose whether its algorithms are deterministic.

    After the block, torch's threads, random state and choice of algorithms are as before. Only what
    `keep_freed_memory` sets stays, because glibc cannot say what it was.
    """
    threads, algorithms = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    workspace = os.environ.get(CUBLAS_WORKSPACE)
    with torch.random.fork_rng(devices=[]):
        try:
            prepare_process()
            if deterministic and not workspace:
                os.environ[CUBLAS_WORKSPACE] = ":4096:8"
            # use_deterministic_algorithms would import torch's compiler, which takes a second.
            torch.set_deterministic_debug_mode("error" if deterministic else "default")
            yield
        finally:
            torch.set_deterministic_debug_mode(algorithms)
            if workspace is None:
                os.environ.pop(CUBLAS_WORKSPACE, None)
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)


def limit_threads() -> None:
    """Limit torch's threads to the CPUs that this process may use.

    By default torch starts one thread per core, also where a cgroup allows fewer CPUs; threads that
    wait for each other's turn make every operation slower. $OMP_NUM_THREADS and smaller numbers
    are kept.
    """
    if not os.environ.get("OMP_NUM_THREADS") and torch.get_num_threads() > usable_cpus():
        torch.set_num_threads(usable_cpus())
