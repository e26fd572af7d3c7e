"""Processes that train together. The only importer of torch.distributed.

Every function answers sensibly when there is one process and no process group, so that no caller
asks whether it is distributed (after EDM's torch_utils/distributed.py).
"""

from d3gan.training.distributed.collectives import (
    any_rank,
    average_buffers,
    averaged_buffers,
    barrier,
    from_main,
    gather_rows,
    gathered,
    is_main,
    mean_over_ranks,
    raise_together,
    rank,
    sum_over_ranks,
    world_size,
)
from d3gan.training.distributed.joining import (
    empty_store,
    launch_name,
    process_group,
    report_lost_ranks,
)
from d3gan.training.distributed.mesh import (
    DiscriminatorParallel,
    make_discriminator_parallel,
    mesh_shape,
)

__all__ = [
    "DiscriminatorParallel",
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
    "make_discriminator_parallel",
    "mean_over_ranks",
    "mesh_shape",
    "process_group",
    "raise_together",
    "rank",
    "report_lost_ranks",
    "sum_over_ranks",
    "world_size",
]
