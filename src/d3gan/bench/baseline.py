"""The plain training loop, as most people write it: the yardstick and the tests' oracle.

Images are decoded and transformed one by one by a DataLoader; the discriminators are trained one
after another; nothing is frozen, fused or stacked; every step waits for its losses. It computes the
same mathematics as `gan.step.train_step`, written independently of it.
"""

import itertools
import os
from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from d3gan.acceleration.precision import DTYPES
from d3gan.config import Config
from d3gan.data.loader import Order
from d3gan.errors import UserError
from d3gan.gan.aggregation import AGGREGATIONS
from d3gan.gan.augment import AUGMENTATIONS
from d3gan.gan.ema import ema_decay, update_ema
from d3gan.gan.objectives import OBJECTIVES
from d3gan.gan.penalties import PENALTIES
from d3gan.gan.schedules import SCHEDULES
from d3gan.gan.step import Batch, Losses
from d3gan.images import Images, to_picture
from d3gan.training import distributed
from d3gan.training.engine import Draws, make_order
from d3gan.training.state import State

Item = tuple[int, bool]
"""Index of an image, and whether it is mirrored."""


class PictureDataset(Dataset[tuple[Tensor, int]]):
    """Pictures with labels, each transformed when it is requested."""

    def __init__(self, images: Images, labels: np.ndarray, dtype: torch.dtype) -> None:
        self.images, self.labels, self.dtype = images, labels, dtype

    def __getitem__(self, item: Item) -> tuple[Tensor, int]:
        number, mirrored = item
        picture: Image.Image = to_picture(self.images[number])
        if mirrored:
            picture = ImageOps.mirror(picture)
        pixels = np.asarray(picture).reshape(picture.height, picture.width, -1)
        image = torch.from_numpy(pixels.transpose(2, 0, 1).copy()).to(self.dtype) / 255
        return (image - 0.5) / 0.5, int(self.labels[number])


def batches_in_order(order: Order, first: int) -> Iterator[list[Item]]:
    """Yield the batches from number `first` on, endlessly: a DataLoader's batch sampler."""
    for batch in itertools.count(first):
        indices, mirrored = order(batch)
        mirrors = [False] * len(indices) if mirrored is None else mirrored.tolist()
        yield list(zip(indices.tolist(), mirrors, strict=True))


class Baseline:
    """Trains `state` as `training.engine.Engine` does, on one process. In fp32 or fp64."""

    def __init__(
        self,
        config: Config,
        state: State,
        images: Images,
        device: torch.device,
        labels: np.ndarray | None = None,
    ) -> None:
        if distributed.world_size() > 1:
            raise UserError("the baseline runs on one process")
        if config.train.precision == "bf16":
            raise UserError("train.precision = 'bf16': the baseline computes in fp32 or fp64")
        self.config, self.state, self.device = config, state, device
        self.total_images = config.total_steps(len(images)) * config.images_per_step
        shard = range(config.train.batch_size)
        self.order = make_order(config, shard, len(images))
        self.draws = Draws(config, shard, device)
        self.schedule = SCHEDULES.build(config.optim.schedule)
        self.objective = OBJECTIVES.build(config.gan.objective)
        self.aggregation = AGGREGATIONS.build(config.gan.aggregation)
        self.penalties = [PENALTIES.build(text) for text in config.gan.penalties]
        self.augmentations = [AUGMENTATIONS.build(text) for text in config.gan.augmentations]
        labels = np.zeros(len(images), np.int64) if labels is None else labels
        self.loader: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
            PictureDataset(images, labels, DTYPES[config.train.precision]),  # type: ignore[arg-type]
            batch_sampler=batches_in_order(self.order, self.batches().start),
            # On a CPU, loader processes would take the cores that compute.
            num_workers=0 if device.type == "cpu" else config.data.workers or os.cpu_count() or 1,
        )
        self.loaded = iter(self.loader)

    def batches(self) -> range:
        """Return the numbers of this step's batches, one for each discriminator update."""
        each = self.config.gan.discriminator_steps
        return range(self.state.step * each, (self.state.step + 1) * each)

    def real_images(self, number: int) -> tuple[Tensor, Tensor | None]:
        """Return the next batch of images [B, C, H, W] in [-1, 1] and their labels [B]."""
        images, labels = next(self.loaded)
        return images.to(self.device), labels.to(self.device) if self.state.classes else None

    def step(self) -> Losses:
        """Train for one step, and update the moving average."""
        config, state = self.config, self.state
        factor = self.schedule.factor(state.step * config.images_per_step, self.total_images)
        state.optimizer_g.param_groups[0]["lr"] = config.optim.lr_g * factor
        state.optimizer_d.param_groups[0]["lr"] = config.optim.lr_d * factor
        for number in self.batches():
            batch = self.draws.batch(number, *self.real_images(number))
            fake = _call(state.generator, batch.z, batch.labels)
            d_terms, penalties = self._train_discriminators(batch, fake.detach())
        losses = self._train_generator(batch, fake, d_terms)
        if state.ema is not None:
            each = config.images_per_step
            images = (state.step + 1) * each
            decay = ema_decay(each, images, config.ema_half_life, config.optim.ema_ramp_up)
            update_ema(state.ema, state.generator, decay)
        state.step += 1
        return losses | penalties

    def _augmented(self, images: Tensor, batch: Batch, draws: int) -> Tensor:
        first = 0
        for augmentation in self.augmentations:
            assert batch.augmentation is not None
            last = first + augmentation.draws
            images = augmentation(images, batch.augmentation[draws, :, first:last].to(images))
            first = last
        return images

    def _train_discriminators(self, batch: Batch, fake: Tensor) -> tuple[Losses, Losses]:
        """Update every discriminator; return the terms [N, B] and mean penalties [N]."""
        terms: dict[str, list[Tensor]] = {}
        penalties: dict[str, list[Tensor]] = {penalty.name: [] for penalty in self.penalties}
        self.state.optimizer_d.zero_grad()
        real, fake = batch.real.detach().clone(), fake.clone()
        points = [each.points(real, fake, batch.interpolation) for each in self.penalties]
        for x in points:
            x.requires_grad_()
        for k, discriminator in enumerate(self.state.discriminators.members):
            on_real = _call(discriminator, self._augmented(real, batch, 0), batch.labels)
            on_fake = _call(discriminator, self._augmented(fake, batch, 1), batch.labels)
            of_k = self.objective.discriminator(on_real, on_fake, k)
            loss = torch.stack([*of_k.values()]).sum(dim=0).mean()
            for penalty, x in zip(self.penalties, points, strict=True):
                if x is real or x is fake:  # not a forward pass of its own
                    logits = on_real if x is real else on_fake
                else:
                    logits = _call(discriminator, self._augmented(x, batch, 0), batch.labels)
                (slope,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
                value = penalty.value(slope).mean()
                loss = loss + penalty.weight * value
                penalties[penalty.name].append(value.detach())
            loss.backward()
            loss.item()
            for name, term in of_k.items():
                terms.setdefault(name, []).append(term.detach())
        self.state.optimizer_d.step()
        return (
            {name: torch.stack(rows) for name, rows in terms.items()},
            {name: torch.stack(rows) for name, rows in penalties.items()},
        )

    def _train_generator(self, batch: Batch, fake: Tensor, d_terms: Losses) -> Losses:
        """Update the generator; return the losses of the step as `train_step` does."""
        rows: dict[str, list[Tensor]] = {}
        for k, discriminator in enumerate(self.state.discriminators.members):
            on_fake = _call(discriminator, self._augmented(fake, batch, 3), batch.labels)
            paired = None
            if self.objective.pairs:
                real = self._augmented(batch.real, batch, 2)
                paired = _call(discriminator, real, batch.labels).detach()
            for name, term in self.objective.generator(on_fake, paired, k).items():
                rows.setdefault(name, []).append(term)
        g_terms = {name: torch.stack(row) for name, row in rows.items()}
        g = torch.stack([*g_terms.values()]).sum(dim=0)
        w = self._weights(d_terms, g.detach())
        loss_g = (w * g).sum(dim=0).mean()
        self.state.optimizer_g.zero_grad()
        loss_g.backward()
        self.state.optimizer_g.step()
        loss_g.item()
        losses = {f"loss_d_{name}": term.mean(dim=1) for name, term in d_terms.items()}
        losses |= {f"loss_g_{name}": term.detach().mean(dim=1) for name, term in g_terms.items()}
        loss_d = torch.stack([*d_terms.values()]).sum(dim=0).mean(dim=1)
        weights = w.expand_as(g).mean(dim=1)
        return losses | {"loss_d": loss_d, "weights": weights, "loss_g": loss_g.detach()}

    def _weights(self, d_terms: Losses, g: Tensor) -> Tensor:
        if len(g) == 1:
            return torch.ones_like(g)
        score = self.aggregation.early_score(d_terms)
        score = g if score is None else score
        if not self.aggregation.per_sample:
            score = score.mean(dim=1, keepdim=True)
        return self.aggregation.weights(score, self.draws.aggregation(self.state.step).to(score))


def _call(network: torch.nn.Module, inputs: Tensor, labels: Tensor | None) -> Tensor:
    outputs: Tensor = network(inputs) if labels is None else network(inputs, labels)
    return outputs
