"""Processes that train together. This package is the only importer of torch.distributed.

Every function also works with one process and no process group, so that no caller distinguishes
the cases (after EDM's torch_utils/distributed.py). The module is an evaluation.ranks.Ranks.
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
    report_lost_ranks,
    sum_over_ranks,
    world_size,
)
from d3gan.training.distributed.discriminator_parallel import (
    DiscriminatorParallel,
    make_discriminator_parallel,
    mesh_shape,
)
from d3gan.training.distributed.rendezvous import (
    empty_store,
    launch_name,
    process_group,
    was_aborted,
)
