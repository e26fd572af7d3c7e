"""Engines: ways to compute the same steps. `train.engine` names one."""

import torch

from d3gan.acceleration.cuda_graph import GraphedEngine
from d3gan.bench.baseline import ReferenceEngine
from d3gan.config import Config
from d3gan.images import Images
from d3gan.training.distributed import world_size
from d3gan.training.engines.engine import Engine, total_steps
from d3gan.training.engines.fast import FastEngine
from d3gan.training.state import State

ENGINES: dict[str, type[Engine]] = {"fast": FastEngine, "reference": ReferenceEngine}


def make_engine(
    config: Config, state: State, images: Images, device: torch.device, *, graphs: bool = True
) -> Engine:
    """The config's engine. Without `graphs` it launches every kernel of every step by itself, also
    where it could do otherwise: on CUDA in one process."""
    kind = ENGINES[config.train.engine]
    if kind is FastEngine and graphs and device.type == "cuda" and world_size() == 1:
        kind = GraphedEngine
    return kind(config, state, images, device)


__all__ = ["ENGINES", "Engine", "make_engine", "total_steps"]
