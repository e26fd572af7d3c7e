"""Processes that train together. The only importer of torch.distributed.

Every function answers sensibly when there is one process and no process group, so that no caller
asks whether it is distributed (after EDM's torch_utils/distributed.py).
"""

from d3gan.training.distributed.collectives import (
    all_or_none,
    any_rank,
    average_buffers,
    averaged_buffers,
    barrier,
    from_main,
    gather_rows,
    gathered,
    is_main,
    mean_over_ranks,
    rank,
    sum_over_ranks,
    world_size,
)
from d3gan.training.distributed.joining import (
    empty_store,
    launch_name,
    naming_the_lost,
    process_group,
)
from d3gan.training.distributed.mesh import Mesh, make_mesh, mesh_shape

__all__ = [
    "Mesh",
    "all_or_none",
    "any_rank",
    "average_buffers",
    "averaged_buffers",
    "barrier",
    "empty_store",
    "from_main",
    "gather_rows",
    "gathered",
    "is_main",
    "launch_name",
    "make_mesh",
    "mean_over_ranks",
    "mesh_shape",
    "naming_the_lost",
    "process_group",
    "rank",
    "sum_over_ranks",
    "world_size",
]
