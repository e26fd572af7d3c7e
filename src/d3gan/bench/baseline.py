"""The reference engine: the plain loop, as most people write it. The yardstick of the fast one.

Images are decoded and transformed one by one by a DataLoader; the discriminators are trained one
after another; nothing is frozen, fused or laid out anew; every step waits for its numbers. It
computes the same mathematics as `gan.step.train_step`.
"""

import itertools
import os
from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.gan.objectives import r1_penalty
from d3gan.gan.step import StepLosses
from d3gan.images import Images, to_picture
from d3gan.training import distributed
from d3gan.training.engines.engine import Engine
from d3gan.training.state import State


class PictureDataset(Dataset[Tensor]):
    """Pictures, each transformed when it is asked for by (number, mirrored)."""

    def __init__(self, images: Images, dtype: torch.dtype) -> None:
        self.images, self.dtype = images, dtype

    def __getitem__(self, item: tuple[int, bool]) -> Tensor:
        number, mirrored = item
        picture: Image.Image = to_picture(self.images[number])
        if mirrored:
            picture = ImageOps.mirror(picture)
        pixels = np.asarray(picture).reshape(picture.height, picture.width, -1)
        image = torch.from_numpy(pixels.transpose(2, 0, 1).copy()).to(self.dtype) / 255
        return (image - 0.5) / 0.5


class BatchesInOrder:
    """The batches of the run from number `first` on, endless, as a DataLoader's batch sampler."""

    def __init__(self, engine: Engine, first: int) -> None:
        self.engine, self.first = engine, first

    def __iter__(self) -> Iterator[list[tuple[int, bool]]]:
        for batch in itertools.count(self.first):
            indices, mirrored = self.engine.order(batch)
            mirrors = [False] * len(indices) if mirrored is None else mirrored.tolist()
            yield list(zip(indices.tolist(), mirrors, strict=True))


class ReferenceEngine(Engine):
    """One process alone."""

    def __init__(self, config: Config, state: State, images: Images, device: torch.device) -> None:
        super().__init__(config, state, images, device)
        if distributed.world_size() > 1:
            raise UserError("train.engine = 'reference': is for one process; use fast for several")
        self.loader: DataLoader[Tensor] = DataLoader(
            PictureDataset(images, self.dtype),
            batch_sampler=BatchesInOrder(self, self.batches(state.step).start),
            # On a CPU, processes that load would take the cores that compute.
            num_workers=0 if device.type == "cpu" else config.data.workers or os.cpu_count() or 1,
        )
        self.loaded = iter(self.loader)

    def real_images(self, batch: int) -> Tensor:
        images: Tensor = next(self.loaded)
        return images.to(self.device)

    def update(self, step: int) -> StepLosses:
        state, objective, gamma = self.state, self.objective, self.config.gan.r1_gamma
        discriminators = state.discriminators.members
        for batch in self.batches(step):
            real = self.real_images(batch)
            fake = state.generator(self.noise(batch))
            r, f, penalty = [], [], []
            state.optimizer_d.zero_grad()
            for discriminator in discriminators:
                real.requires_grad_(gamma > 0)
                logits_real = discriminator(real)
                r.append(objective.real(logits_real))
                f.append(objective.fake(discriminator(fake.detach())))
                penalty.append(
                    r1_penalty(logits_real[None], real)[0] if gamma > 0 else torch.zeros_like(r[-1])
                )
                loss_d = (r[-1] + f[-1] + gamma / 2 * penalty[-1]).mean()
                loss_d.backward()
                loss_d.item()
            state.optimizer_d.step()

        g = torch.stack([objective.generator(d(fake)) for d in discriminators])
        losses = [torch.stack(column).detach() for column in (r, f, penalty)]
        score = self.aggregation.early_score(losses[0], losses[1])
        score = g.detach() if score is None else score
        if not self.aggregation.per_sample:
            score = score.mean(dim=1, keepdim=True)
        w = self.aggregation.weights(score, self.draws(step).to(score))
        loss_g = (w * g).sum(dim=0).mean()
        state.optimizer_g.zero_grad()
        loss_g.backward()
        state.optimizer_g.step()
        loss_g.item()

        columns = [column.mean(dim=1) for column in (*losses, g.detach(), w.expand_as(g))]
        return StepLosses(*columns, loss_g.detach())  # type: ignore[call-arg]  # five columns
