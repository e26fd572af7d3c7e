"""How many floating-point operations a step of a config takes."""

import functools

import numpy as np
import torch

from d3gan.bench.step import counted_flops
from d3gan.config import Config, DataConfig, TrainConfig
from d3gan.training.engines import make_engine
from d3gan.training.state import make_state

_FEW = 2
"""Images of the step that is counted; batch norm needs two."""


def flops_per_step(config: Config) -> float:
    """Operations of one step's convolutions and matrix products, by all processes together.

    A product of two numbers and its addition are two operations. Of the fast engine on a CPU,
    whichever the config trains by: what the method asks for, not what a plain loop wastes. It does
    not follow the generator's gradient through discriminators that count nothing at this step.
    """
    return _flops_of_few(_what_counts(config)) * config.train.batch_size / _FEW


def _what_counts(config: Config) -> Config:
    """The part of a config that the number of operations depends on, with a small batch: every
    layer's work grows as the batch does."""
    data = DataConfig(resolution=config.data.resolution, channels=config.data.channels)
    train = TrainConfig(batch_size=_FEW)
    return Config(data=data, model=config.model, gan=config.gan, train=train)


@functools.cache
def _flops_of_few(config: Config) -> int:
    cpu, side = torch.device("cpu"), config.data.resolution
    images = np.zeros((_FEW, config.data.channels, side, side), np.uint8)
    return counted_flops(make_engine(config, make_state(config, cpu), images, cpu))
