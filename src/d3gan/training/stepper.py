"""The steps of a run: what goes in, the step itself, and the average after it."""

import math

import torch
from torch import Tensor

from d3gan.config import Config
from d3gan.data.sampler import batch_indices, flips
from d3gan.data.store import ImageStore
from d3gan.gan.aggregation import AGGREGATIONS
from d3gan.gan.ema import ema_decay, update_ema
from d3gan.gan.objectives import OBJECTIVES
from d3gan.gan.step import Game, StepLosses, train_step
from d3gan.images import Images
from d3gan.schedules import SCHEDULES
from d3gan.stateless import Stream, normal, uniform
from d3gan.training.state import DTYPES, State


def total_steps(config: Config, images: int) -> int:
    """Steps of a whole run over `images` images; its last batch may reach into one more epoch."""
    return math.ceil(config.train.epochs * images / config.train.batch_size)


class Stepper:
    """Trains `state` on `images` [M, C, H, W], a step at a time. All ranks call it together."""

    def __init__(self, config: Config, state: State, images: Images, device: torch.device) -> None:
        self.config, self.state, self.device = config, state, device
        self.epoch_images = len(images)
        self.total = total_steps(config, self.epoch_images)
        self.dtype = DTYPES[config.train.precision]
        self.store = ImageStore(images, device, self.dtype, config.data.resident)
        self.schedule = SCHEDULES.build(config.optim.schedule)
        mesh, batch_size = state.mesh, config.train.batch_size
        self.shard, scale = mesh.images(batch_size), mesh.data / batch_size
        self.game = Game(
            generator=mesh.generator(state.generator),
            discriminators=mesh.ensemble(state.discriminators),
            optimizer_g=state.optimizer_g,
            optimizer_d=state.optimizer_d,
            objective=OBJECTIVES.build(config.gan.objective),
            aggregation=AGGREGATIONS.build(config.gan.aggregation),
            r1_gamma=config.gan.r1_gamma,
            expectation=lambda losses: losses.sum(dim=-1) * scale,
            mean_over_ranks=mesh.mean_over_ranks,
            of_all=mesh.of_all,
        )

    def step(self) -> StepLosses:
        """One step of training, and the average after it."""
        config, state, step = self.config, self.state, self.state.step
        factor = self.schedule.factor(step / self.total)
        for optimizer, rate in (
            (state.optimizer_g, config.optim.lr_g),
            (state.optimizer_d, config.optim.lr_d),
        ):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
        losses = train_step(self.game, *self.inputs(step))
        state.step += 1
        if state.average is not None:
            batch_size = config.train.batch_size
            images = state.step * batch_size
            decay = ema_decay(batch_size, images, config.optim.ema_half_life_images)
            update_ema(state.average, state.generator, decay)
        return losses

    def inputs(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Real images, noise and the rule's random numbers of a step: this rank's part."""
        config, seed = self.config, self.config.seed
        positions = step * config.train.batch_size + torch.arange(self.shard.start, self.shard.stop)
        indices = batch_indices(seed, positions, self.epoch_images)
        real = self.store.batch(indices, flips(seed, positions) if config.data.flip else None)
        here = torch.arange(self.shard.start, self.shard.stop, device=self.device)
        z = normal(seed, Stream.NOISE, step, here, config.model.latent_dim)
        each = torch.arange(config.gan.discriminators, device=self.device)
        draws = uniform(seed, Stream.AGGREGATION, step, each, 1)
        return real, z.to(self.dtype), draws
