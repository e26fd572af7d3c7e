"""What every engine does alike: rates, steps, the average; and the numbers that go into a step."""

import math
from typing import Any

import torch
from torch import Tensor

from d3gan.acceleration.precision import DTYPES
from d3gan.config import Config
from d3gan.data.loader import Order
from d3gan.data.sampler import batch_indices, flips
from d3gan.gan.aggregation import AGGREGATIONS
from d3gan.gan.ema import ema_decay, update_ema
from d3gan.gan.objectives import OBJECTIVES
from d3gan.gan.schedules import SCHEDULES
from d3gan.gan.step import StepLosses
from d3gan.images import Images
from d3gan.rng import Stream, normal, uniform
from d3gan.training.state import State


def total_steps(config: Config, images: int) -> int:
    """Steps of a whole run over `images` images; its last batch may reach into one more epoch."""
    return math.ceil(config.train.epochs * images / config.images_per_step)


def make_order(config: Config, shard: range, images: int) -> Order:
    """What the part `shard` of each batch holds of a run's `images` images."""

    def order(batch: int) -> tuple[Tensor, Tensor | None]:
        positions = batch * config.train.batch_size + torch.arange(shard.start, shard.stop)
        indices = batch_indices(config.seed, positions, images)
        return indices, flips(config.seed, positions) if config.data.flip else None

    return order


class Engine:
    """Trains `state` on `images` [M, C, H, W], a step at a time. All ranks call it together."""

    def __init__(self, config: Config, state: State, images: Images, device: torch.device) -> None:
        self.config, self.state, self.device = config, state, device
        self.epoch_images = len(images)
        self.total = total_steps(config, self.epoch_images)
        self.dtype = DTYPES[config.train.precision]
        self.schedule = SCHEDULES.build(config.optim.schedule)
        self.objective = OBJECTIVES.build(config.gan.objective)
        self.aggregation = AGGREGATIONS.build(config.gan.aggregation)
        self.shard = state.mesh.images(config.train.batch_size)
        self.order = make_order(config, self.shard, self.epoch_images)

    def step(self) -> StepLosses:
        """One step of training, and the average after it."""
        config, state = self.config, self.state
        factor = self.schedule.factor(state.step / self.total)
        for optimizer, rate in (
            (state.optimizer_g, config.optim.lr_g),
            (state.optimizer_d, config.optim.lr_d),
        ):
            for group in optimizer.param_groups:
                self.set_rate(group, rate * factor)
        each = config.images_per_step
        decay = ema_decay(each, (state.step + 1) * each, config.optim.ema_half_life_images)
        losses = self.advance(state.step, decay)
        state.step += 1
        return losses

    def set_rate(self, group: dict[str, Any], rate: float) -> None:
        """Let the optimizer's group learn at this rate from now on."""
        group["lr"] = rate

    def advance(self, step: int, decay: float) -> StepLosses:
        """Update the networks on the batches of this step, then the average."""
        losses = self.update(step)
        self.average(decay)
        return losses

    def average(self, decay: float | Tensor) -> None:
        """Move the average of the generator, if there is one, towards its weights."""
        if self.state.average is not None:
            update_ema(self.state.average, self.state.generator, decay)

    def update(self, step: int) -> StepLosses:
        """Update discriminators and generator on the batches of this step."""
        raise NotImplementedError

    def real_images(self, batch: int) -> Tensor:
        """This rank's part of a batch, [B, C, H, W] in [-1, 1], on the device."""
        raise NotImplementedError

    def batches(self, step: int) -> range:
        """Numbers of the batches of a step, one for each update of the discriminators."""
        each = self.config.gan.discriminator_steps
        return range(step * each, (step + 1) * each)

    def noise(self, batch: int | Tensor) -> Tensor:
        """This rank's latents z [B, latent] beside a batch of real images."""
        here = torch.arange(self.shard.start, self.shard.stop, device=self.device)
        z = normal(self.config.seed, Stream.NOISE, batch, here, self.config.model.latent_dim)
        return z.to(self.dtype)

    def draws(self, step: int | Tensor) -> Tensor:
        """Random numbers of the rule, [N, 1] in (0, 1), the same on every rank."""
        each = torch.arange(self.config.gan.discriminators, device=self.device)
        return uniform(self.config.seed, Stream.AGGREGATION, step, each, 1)
