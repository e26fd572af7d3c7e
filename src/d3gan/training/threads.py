"""The number of threads with which torch computes on the CPU."""

import os

import torch

from d3gan.machine import usable_cpus


def limit_threads() -> None:
    """Limit torch's threads to the CPUs that this process may use.

    By default torch starts one thread per core, also where a cgroup allows fewer CPUs; threads that
    wait for each other's turn make every operation slower. $OMP_NUM_THREADS and smaller numbers
    are kept.
    """
    if not os.environ.get("OMP_NUM_THREADS") and torch.get_num_threads() > usable_cpus():
        torch.set_num_threads(usable_cpus())
