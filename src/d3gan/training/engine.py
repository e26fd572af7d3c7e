"""Computes the steps of a run: batches and random numbers in, updated weights and losses out."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from d3gan.acceleration.cuda_graph import GraphedFunction, fastest_way
from d3gan.acceleration.precision import DTYPES
from d3gan.config import Config
from d3gan.data.loader import Prepared, make_loader, moved
from d3gan.gan.ema import update_ema
from d3gan.gan.game import Batch, Game, Losses, Scheduled
from d3gan.gan.schedules import SCHEDULES, Constant
from d3gan.gan.step import train_step
from d3gan.images import Images
from d3gan.training.build import build_rules
from d3gan.training.distributed import world_size
from d3gan.training.draws import Draws
from d3gan.training.order import make_order, of_each_member
from d3gan.training.schedule import StepValues, make_schedule
from d3gan.training.state import State


class Engine:
    """Trains `state` on `images` [M, C, H, W], one step at a time. All ranks call it together.

    `labels` int64 [M] are needed if the model is conditional. With `graph` (the default on one
    CUDA device) the step is recorded once as a CUDA graph and replayed, so everything that differs
    between steps is written into tensors that stay in place. Adam's fused kernel takes no such
    tensor for beta2, so with `optim.beta2_schedule` the step is launched kernel by kernel.
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
        generator = parallel.generator(state.generator, reduce_gradients=not by_gradients)
        discriminators = parallel.ensemble(state.discriminators)
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
            accumulate=config.train.accumulate,
            no_sync=lambda: parallel.no_sync(generator, discriminators),
        )
        if graph is None:  # a rule that sees gradients may compute its weights on the host
            graph = device.type == "cuda" and world_size() == 1 and not by_gradients
        self._static = _Static(self, len(shard)) if graph else None

    @property
    def selects(self) -> bool:
        """Whether the aggregation rule chooses one discriminator at every step."""
        return self.game.aggregation.selects

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


class _Static:
    """The inputs of a graphed step: tensors that stay in place and are overwritten every step."""

    def __init__(self, engine: Engine, shard: int) -> None:
        self.engine, state, device = engine, engine.state, engine.device
        config, cuda = engine.config, engine.device.type == "cuda"
        if cuda and not config.train.deterministic:
            side, channels = config.data.resolution, config.data.channels
            state.discriminators.way = fastest_way(
                state.discriminators,
                torch.zeros((shard, channels, side, side), dtype=engine.draws.dtype, device=device),
                torch.zeros(shard, dtype=torch.int64, device=device) if state.classes else None,
            )
        self.number = torch.zeros((), dtype=torch.int64, device=device)
        self.ema_decay, self.penalty_factor = torch.zeros(
            2, dtype=engine.draws.dtype, device=device
        )
        self.augmentation_probability: Tensor | None = None
        if config.gan.skips_augmentations:
            self.augmentation_probability = torch.zeros((), dtype=torch.float64, device=device)
        self.inputs: list[Prepared] = []
        # CUDA's fused kernel reads a learning rate on the device as float32.
        precision = torch.float32 if cuda else torch.float64
        for optimizer in (state.optimizer_g, state.optimizer_d):
            for group in optimizer.param_groups:
                group["lr"] = torch.tensor(group["lr"], dtype=precision, device=device)
        fixed_beta2 = SCHEDULES.build(config.optim.beta2_schedule) == Constant()
        self.graph = GraphedFunction(self._whole_step) if cuda and fixed_beta2 else None

    def step(self, step: int, values: StepValues) -> Losses:
        self.number.fill_(step)
        self.ema_decay.fill_(values.ema_decay)
        self.penalty_factor.fill_(values.penalty_factor)
        if self.augmentation_probability is not None:
            assert values.augmentation_probability is not None
            self.augmentation_probability.fill_(values.augmentation_probability)
        for place, batch in enumerate(self.engine.batches()):
            self._overwrite(place, self.engine.loader.prepare(batch))
        return self.graph() if self.graph else self._whole_step()

    def _overwrite(self, place: int, new: Prepared) -> None:
        device = self.engine.device
        if place == len(self.inputs):
            self.inputs.append(Prepared(*(None if x is None else x.to(device) for x in new)))  # type: ignore[arg-type]
            return
        for old, x in zip(self.inputs[place], new, strict=True):
            if old is not None and x is not None:
                x = x.pin_memory() if device.type == "cuda" else x
                old.copy_(x, non_blocking=True)

    def _whole_step(self) -> Losses:
        """Compute the step from the tensors in place, without a synchronisation."""
        engine, each = self.engine, self.engine.config.batches_per_step
        batches = [
            engine.draws.batch(
                self.number * each + place,
                engine.normalised(inputs.source, inputs.mirrored),
                inputs.labels,
                self.augmentation_probability,
            )
            for place, inputs in enumerate(self.inputs)
        ]
        return engine._update(self.number, batches, self.ema_decay, self.penalty_factor)
