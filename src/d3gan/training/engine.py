"""Computes the steps of a run: batches and random numbers in, updated weights and losses out."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from d3gan.acceleration.precision import DTYPES
from d3gan.config import Config
from d3gan.data.loader import make_loader, moved
from d3gan.gan.ema import update_ema
from d3gan.gan.game import Batch, Game, Losses, Scheduled
from d3gan.gan.step import train_step
from d3gan.images import Images
from d3gan.training.build import build_rules
from d3gan.training.draws import Draws
from d3gan.training.numerics import training_numerics
from d3gan.training.order import make_order, of_each_member
from d3gan.training.schedule import StepValues, make_schedule
from d3gan.training.state import State
from d3gan.training.static_step import StaticStep, is_recorded, wrapping


class Engine:
    """Trains `state` on `images` [M, C, H, W], one step at a time. All ranks call it together.

    `labels` int64 [M] are needed if the model is conditional. With `graph` (the default on CUDA,
    see `is_recorded`) the step is recorded once as a CUDA graph and replayed, so everything that
    differs between steps is written into tensors that stay in place.
    """

    def __init__(
        self,
        config: Config,
        state: State,
        images: Images,
        device: torch.device,
        labels: np.ndarray | None = None,
        *,
        graph: bool | None = None,
    ) -> None:
        self.config, self.state, self.device = config, state, device
        self.epoch_images = len(images)
        self.total = config.total_steps(self.epoch_images)
        self.schedule = make_schedule(config, self.epoch_images)
        parallel = state.parallel
        shard = parallel.images(config.train.batch_size)
        self.order = make_order(config, shard, self.epoch_images, parallel.members())
        rules = build_rules(config.gan)
        self.draws = Draws(config, rules, shard, device)
        dtype, labels = DTYPES[config.train.precision], labels if state.classes else None
        resident = config.data.resident
        self.loader = make_loader(
            images, labels, self.order, device, dtype, resident, config.batches_per_step
        )
        scale = parallel.data / config.train.batch_size
        by_gradients = rules.aggregation.gradients and config.gan.discriminators > 1
        graph = is_recorded(config, rules, parallel, device) if graph is None else graph
        with wrapping(device, recorded=graph):
            generator = parallel.generator(state.generator, reduce_gradients=not by_gradients)
            discriminators = parallel.ensemble(state.discriminators)
        self.wrapped = (generator, discriminators)
        self.game = Game(
            generator=_with_labels(generator),
            discriminators=discriminators,
            members=parallel.members(),
            optimizer_g=state.optimizer_g,
            optimizer_d=state.optimizer_d,
            objective=rules.objective,
            aggregation=rules.aggregation,
            penalties=rules.penalties,
            augmentations=rules.augmentations,
            expectation=lambda losses: losses.sum(dim=-1) * scale,
            mean_over_ranks=parallel.mean_over_ranks,
            all_gather_discriminators=parallel.all_gather_discriminators,
            aggregation_state=state.aggregation,
            alike=state.discriminators.are_alike(),
            one_by_one=device.type == "cpu" and discriminators is state.discriminators,
            accumulate=config.train.accumulate,
            no_sync=lambda: parallel.no_sync(generator, discriminators),
        )
        self._static = StaticStep(self, len(shard)) if graph else None

    @property
    def selects(self) -> bool:
        """Whether the aggregation rule chooses one discriminator at every step."""
        return self.game.aggregation.selects

    @property
    def warm_up_steps(self) -> int:
        """Number of first steps that take longer: until the step is recorded as a CUDA graph."""
        graph = self._static and self._static.graph
        return graph.warm_up + 1 if graph else 0

    def step(self) -> Losses:
        """Train for one step, and update the moving average."""
        state = self.state
        values = self.schedule(state.step)
        self._set_optimizers(values)
        if self._static is not None:
            losses = self._static.step(state.step, values)
        else:
            batches = [
                self.batch(number, values.augmentation_probability) for number in self.batches()
            ]
            losses = self._update(state.step, batches, values.ema_decay, values.penalty_factor)
        state.step += 1
        return losses

    def batches(self) -> range:
        """Return the numbers of this step's batches: those of the discriminators, a fresh one."""
        each = self.config.batches_per_step
        return range(self.state.step * each, (self.state.step + 1) * each)

    def batch(self, number: int, augmentation_probability: float | None = None) -> Batch:
        """Return this rank's part of a batch, on the device."""
        return self.draws.batch(number, *self.real_images(number), augmentation_probability)

    def real_images(self, number: int) -> tuple[Tensor, Tensor | None]:
        """Return this rank's real images of a batch (`Batch.real`), and their labels."""
        source, mirrored, labels = (moved(x, self.device) for x in self.loader.prepare(number))
        assert source is not None
        return self.normalised(source, mirrored), labels

    def normalised(self, source: Tensor, mirrored: Tensor | None) -> Tensor:
        """Return `Batch.real` from what the loader prepared, on the device."""
        images = self.loader.images(source, mirrored)
        return of_each_member(self.config, images, self.game.members)

    def _update(
        self,
        step: int | Tensor,
        batches: list[Batch],
        ema_decay: float | Tensor,
        penalty_factor: float | Tensor,
    ) -> Losses:
        fresh = batches[-1] if self.config.gan.fresh_batch else None
        batches = batches[: self.config.gan.discriminator_steps]
        with training_numerics(self.config.train, self.device):
            losses = train_step(
                self.game,
                batches,
                self.draws.aggregation(step),
                fresh=fresh,
                scheduled=Scheduled(penalty_factor),
            )
        if self.state.ema is not None:
            update_ema(self.state.ema, self.state.generator, ema_decay)
        return losses

    def _set_optimizers(self, values: StepValues) -> None:
        optimizers = (self.state.optimizer_g, self.state.optimizer_d)
        for optimizer, rate in zip(optimizers, (values.lr_g, values.lr_d), strict=True):
            for group in optimizer.param_groups:
                group["betas"] = (self.config.optim.beta1, values.beta2)
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rate)
                else:
                    group["lr"] = rate


def _with_labels(generator: Callable[..., Tensor]) -> Callable[[Tensor, Tensor | None], Tensor]:
    """Return the generator as a function of z and labels, which an unconditional one never gets."""
    return lambda z, labels: generator(z) if labels is None else generator(z, labels)
