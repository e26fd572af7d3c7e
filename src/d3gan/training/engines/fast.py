"""The fast engine: images on the device, all discriminators in one pass, nothing read back."""

import torch
from torch import Tensor

from d3gan.config import Config
from d3gan.data.loader import make_batches, moved
from d3gan.gan.step import Game, StepLosses, train_step
from d3gan.images import Images
from d3gan.training.engines.engine import Engine
from d3gan.training.state import State


class FastEngine(Engine):
    """`gan.step.train_step` on one process or many."""

    def __init__(self, config: Config, state: State, images: Images, device: torch.device) -> None:
        super().__init__(config, state, images, device)
        self.real = make_batches(images, self.order, device, self.dtype, config.data.resident)
        mesh, scale = state.mesh, state.mesh.data / config.train.batch_size
        self.game = Game(
            generator=mesh.generator(state.generator),
            discriminators=mesh.ensemble(state.discriminators),
            optimizer_g=state.optimizer_g,
            optimizer_d=state.optimizer_d,
            objective=self.objective,
            aggregation=self.aggregation,
            r1_gamma=config.gan.r1_gamma,
            expectation=lambda losses: losses.sum(dim=-1) * scale,
            mean_over_ranks=mesh.mean_over_ranks,
            all_gather_discriminators=mesh.all_gather_discriminators,
        )

    def real_images(self, batch: int) -> Tensor:
        what, mirrored = self.real.gathered(batch)
        mirrored = None if mirrored is None else moved(mirrored, self.device)
        return self.real.images(moved(what, self.device), mirrored)

    def update(self, step: int) -> StepLosses:
        batches = [(self.real_images(batch), self.noise(batch)) for batch in self.batches(step)]
        return train_step(self.game, batches, self.draws(step))
