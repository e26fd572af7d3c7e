"""The plain training loop, as most people write it: the yardstick and the tests' oracle.

Images are decoded and transformed one by one by a DataLoader; the discriminators are trained one
after another; nothing is frozen, fused or stacked; every step waits for its losses. It computes the
same mathematics as `gan.step.train_step`, written independently of it.
"""

import itertools
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
from d3gan.gan.ema import update_ema
from d3gan.gan.game import Batch, Losses
from d3gan.gan.objectives import JointObjective
from d3gan.images import Images, to_picture
from d3gan.machine import usable_cpus
from d3gan.training import distributed
from d3gan.training.build import build_rules
from d3gan.training.draws import Draws
from d3gan.training.numerics import training_numerics
from d3gan.training.order import make_order, of_each_member
from d3gan.training.schedule import make_schedule
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
    """Trains `state` as `training.engine.Engine` does, on one process. In all but bf16."""

    warm_up_steps = 0
    """Number of first steps that take longer (`Engine.warm_up_steps`)."""

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
            raise UserError("train.precision = 'bf16': the baseline computes in fp32, tf32 or fp64")
        self.config, self.state, self.device = config, state, device
        self.schedule = make_schedule(config, len(images))
        shard = range(config.train.batch_size)
        self.members = range(config.gan.discriminators)
        self.order = make_order(config, shard, len(images), self.members)
        rules = build_rules(config.gan)
        self.objective, self.aggregation, self.penalties, self.augmentations = rules
        self.draws = Draws(config, rules, shard, device)
        labels = np.zeros(len(images), np.int64) if labels is None else labels
        self.loader: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
            PictureDataset(images, labels, DTYPES[config.train.precision]),  # type: ignore[arg-type]
            batch_sampler=batches_in_order(self.order, self.batches().start),
            # Without CUDA, loader processes would take the cores that compute.
            num_workers=0 if device.type != "cuda" else config.data.workers or usable_cpus(),
        )
        self.loaded = iter(self.loader)

    def batches(self) -> range:
        """Return the numbers of this step's batches: those of the discriminators, a fresh one."""
        each = self.config.batches_per_step
        return range(self.state.step * each, (self.state.step + 1) * each)

    def real_images(self, number: int) -> tuple[Tensor, Tensor | None]:
        """Return the next batch of images in [-1, 1] (`Batch.real`) and their labels [B]."""
        images, labels = next(self.loaded)
        images = of_each_member(self.config, images, self.members)
        return images.to(self.device), labels.to(self.device) if self.state.classes else None

    def step(self) -> Losses:
        """Train for one step, and update the moving average."""
        config, state = self.config, self.state
        values = self.schedule(state.step)
        betas = (config.optim.beta1, values.beta2)
        state.optimizer_g.param_groups[0] |= {"lr": values.lr_g, "betas": betas}
        state.optimizer_d.param_groups[0] |= {"lr": values.lr_d, "betas": betas}
        probability = values.augmentation_probability
        batches = [self.draws.batch(n, *self.real_images(n), probability) for n in self.batches()]
        with training_numerics(config.train, self.device):
            for batch in batches[: config.gan.discriminator_steps]:
                fake = _call(state.generator, batch.z, batch.labels)
                d_terms, penalties = self._train_discriminators(
                    batch, fake.detach(), values.penalty_factor
                )
            if config.gan.fresh_batch:
                batch = batches[-1]
                fake = _call(state.generator, batch.z, batch.labels)
            losses = self._train_generator(batch, fake, d_terms)
        if state.ema is not None:
            update_ema(state.ema, state.generator, values.ema_decay)
        state.step += 1
        return losses | penalties

    def _augmented(self, images: Tensor, batch: Batch, draws: int) -> Tensor:
        first = 0
        for place, augmentation in enumerate(self.augmentations):
            assert batch.augmentation is not None
            last = first + augmentation.draws
            changed = augmentation(images, batch.augmentation[draws, :, first:last].to(images))
            first = last
            if batch.augmented is not None:
                pairs = zip(batch.augmented[draws, :, place], changed, images, strict=True)
                changed = torch.stack([new if chosen else old for chosen, new, old in pairs])
            images = changed
        return images

    def _train_discriminators(
        self, batch: Batch, fake: Tensor, penalty_factor: float
    ) -> tuple[Losses, Losses]:
        """Update every discriminator; return the terms [N, B] and mean penalties [N]."""
        terms: dict[str, list[Tensor]] = {}
        penalties: dict[str, list[Tensor]] = {penalty.name: [] for penalty in self.penalties}
        self.state.optimizer_d.zero_grad()
        fake, logits = fake.clone(), []
        joint = isinstance(self.objective, JointObjective)
        for k, discriminator in enumerate(self.state.discriminators.members):
            real = _real_of(batch, k).detach().clone()
            points = [each.points(real, fake, batch.interpolation) for each in self.penalties]
            for x in points:
                x.requires_grad_()
            on_real = _call(discriminator, self._augmented(real, batch, 0), batch.labels)
            on_fake = _call(discriminator, self._augmented(fake, batch, 1), batch.labels)
            logits.append(torch.stack([on_real, on_fake]))
            loss = torch.zeros((), dtype=fake.dtype, device=fake.device)
            if not joint:
                of_k = self.objective.discriminator(on_real, on_fake, k)
                loss = torch.stack([*of_k.values()]).sum(dim=0).mean()
                for name, term in of_k.items():
                    terms.setdefault(name, []).append(term.detach())
            for penalty, x in zip(self.penalties, points, strict=True):
                if x is real or x is fake:  # not a forward pass of its own
                    on_x = on_real if x is real else on_fake
                else:
                    on_x = _call(discriminator, self._augmented(x, batch, 0), batch.labels)
                (slope,) = torch.autograd.grad(on_x.sum(), x, create_graph=True)
                value = penalty.value(slope).mean()
                loss = loss + penalty_factor * penalty.weight * value
                penalties[penalty.name].append(value.detach())
            if loss.requires_grad:
                loss.backward(retain_graph=joint)
            loss.item()
        stacked = {name: torch.stack(rows) for name, rows in terms.items()}
        if isinstance(self.objective, JointObjective):
            on_real, on_fake = torch.stack(logits, dim=1)
            of_all = dict(self.objective.joint_discriminator(on_real, on_fake, _mean_over_images))
            torch.stack([*of_all.values()]).sum(dim=0).mean(dim=1).sum().backward()
            stacked = {name: term.detach() for name, term in of_all.items()}
        self.state.optimizer_d.step()
        return stacked, {name: torch.stack(rows) for name, rows in penalties.items()}

    def _train_generator(self, batch: Batch, fake: Tensor, d_terms: Losses) -> Losses:
        """Update the generator; return the losses of the step as `train_step` does."""
        state, rule = self.state, self.aggregation
        g_terms, logits = self._generator_terms(batch, fake)
        g = torch.stack([*g_terms.values()]).sum(dim=0)
        score = self._score(d_terms, g)
        w = torch.ones_like(g)
        if len(g) > 1:
            uniform = self.draws.aggregation(state.step).to(score)
            w = rule.adaptive_weights(score, uniform, state.aggregation)
        state.optimizer_g.zero_grad()
        loss_g = (w * g).sum(dim=0).mean()
        loss_g.backward()
        state.optimizer_g.step()
        loss_g.item()
        if len(g) > 1 and state.aggregation:
            with torch.no_grad():
                images = _call(state.generator, batch.z, batch.labels)
                after = self._logits(images, batch, 3) if rule.feedback else logits
            pair = (logits.detach().sigmoid(), after.sigmoid())
            means = (x.mean(dim=1) if rule.feedback else None for x in pair)
            rule.update(state.aggregation, score, *means)
        losses = {f"loss_d_{name}": term.mean(dim=1) for name, term in d_terms.items()}
        losses |= {f"loss_g_{name}": term.detach().mean(dim=1) for name, term in g_terms.items()}
        loss_d = torch.stack([*d_terms.values()]).sum(dim=0).mean(dim=1)
        weights = w.expand_as(g).mean(dim=1)
        return losses | {"loss_d": loss_d, "weights": weights, "loss_g": loss_g.detach()}

    def _generator_terms(self, batch: Batch, fake: Tensor) -> tuple[Losses, Tensor]:
        """Return the generator's loss terms [N, B], and the logits [N, B] of its images."""
        on_fake, on_real = self._logits(fake, batch, 3), None
        if self.objective.pairs:
            on_real = self._logits(batch.real, batch, 2).detach()
        if isinstance(self.objective, JointObjective):
            joint = self.objective.joint_generator(on_fake, on_real, _mean_over_images)
            return dict(joint), on_fake
        rows: dict[str, list[Tensor]] = {}
        for k, logits in enumerate(on_fake):
            real_logits = None if on_real is None else on_real[k]
            for name, term in self.objective.generator(logits, real_logits, k).items():
                rows.setdefault(name, []).append(term)
        return {name: torch.stack(row) for name, row in rows.items()}, on_fake

    def _logits(self, images: Tensor, batch: Batch, draws: int) -> Tensor:
        """Return the logits [N, B] of images [B, C, H, W], or of other ones for each k."""
        return torch.stack(
            [
                _call(
                    discriminator,
                    self._augmented(images[k] if images.dim() == 5 else images, batch, draws),
                    batch.labels,
                )
                for k, discriminator in enumerate(self.state.discriminators.members)
            ]
        )

    def _score(self, d_terms: Losses, g: Tensor) -> Tensor:
        """Return what the aggregation rule sees, from the generator's losses [N, B]."""
        rule = self.aggregation
        if rule.gradients:
            rows = []
            for g_k in g:
                self.state.optimizer_g.zero_grad()
                g_k.mean().backward(retain_graph=True)
                slopes = [p.grad for p in self.state.generator.parameters()]
                rows.append(torch.cat([x.flatten() for x in slopes if x is not None]))
            return torch.stack([torch.stack([a @ b for b in rows]) for a in rows])
        score = rule.early_score(d_terms) if len(g) > 1 else None
        score = g.detach() if score is None else score
        return score if rule.per_sample else score.mean(dim=1, keepdim=True)


def _real_of(batch: Batch, k: int) -> Tensor:
    """Return the real images [B, C, H, W] that discriminator k sees."""
    return batch.real[k] if batch.real.dim() == 5 else batch.real


def _mean_over_images(x: Tensor) -> Tensor:
    return x.mean(dim=-1)


def _call(network: torch.nn.Module, inputs: Tensor, labels: Tensor | None) -> Tensor:
    outputs: Tensor = network(inputs) if labels is None else network(inputs, labels)
    return outputs
