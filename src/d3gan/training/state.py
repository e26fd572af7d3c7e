"""The state of a run: networks and optimizers, built from its config, in one dictionary."""

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Adam

from d3gan.acceleration.im2col import use_im2col
from d3gan.acceleration.precision import DTYPES, compute_in_bfloat16
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.networks import build_discriminators, build_generator
from d3gan.networks.ensemble import Ensemble
from d3gan.training import distributed
from d3gan.training.distributed import DiscriminatorParallel
from d3gan.training.shares import SHARED, share_of, whole


@dataclass
class State:
    """All that training changes. Bare networks: nothing here is wrapped."""

    mesh: DiscriminatorParallel
    """Whose share of the discriminators this process holds."""
    generator: nn.Module
    discriminators: Ensemble
    average: nn.Module | None
    """The generator's moving average, if the config asks for one."""
    optimizer_g: Adam
    optimizer_d: Adam
    step: int = 0
    train_seconds: float = 0.0

    @property
    def sampler(self) -> nn.Module:
        """The generator to sample from."""
        return self.average if self.average is not None else self.generator

    def is_finite(self) -> bool:
        """Whether all weights are finite numbers. All ranks call it together."""
        networks = (self.generator, self.discriminators)
        weights = [p for network in networks for p in network.parameters()]
        finite = bool(torch.stack([weight.isfinite().all() for weight in weights]).all())
        return not distributed.any_rank(not finite)

    def _parts(self) -> dict[str, Any]:
        parts = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: part for name, part in parts.items() if hasattr(part, "state_dict")}

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values alone. All ranks call it together; the main one's is whole."""
        saved = {name: part.state_dict() for name, part in self._parts().items()}
        for name in ("optimizer_g", "optimizer_d"):
            for group in saved[name]["param_groups"]:
                group["lr"] = float(group["lr"])  # which lies on the device under CUDA graphs
        saved |= {"step": self.step, "train_seconds": self.train_seconds}
        every = self.mesh.gather_row({name: saved[name] for name in SHARED})
        return saved | whole(every) if every else saved

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Raises UserError if `saved` is of other networks."""
        try:
            saved = {**saved, **share_of(saved, self.mesh.members())}
            optimizers = (self.optimizer_g, self.optimizer_d)
            ways = [_way(optimizer) for optimizer in optimizers]
            for name, part in self._parts().items():
                part.load_state_dict(saved[name])
            for optimizer, way in zip(optimizers, ways, strict=True):
                optimizer.param_groups[0] |= way
                lay_out_moments(optimizer)
        except (KeyError, RuntimeError, ValueError) as error:
            raise UserError(
                "the checkpoint does not fit the run's config.toml; restore the one or the other "
                f"({str(error).splitlines()[-1].strip()})"
            ) from error
        self.step, self.train_seconds = saved["step"], saved["train_seconds"]


def make_generator(config: Config) -> nn.Module:
    """The config's generator, freshly initialised, in float32 on the CPU."""
    return build_generator(
        config.model.architecture,
        resolution=config.data.resolution,
        channels=config.data.channels,
        latent_dim=config.model.latent_dim,
        width=config.model.generator_width,
        norm=config.model.generator_norm,
        seed=config.seed,
    )


def make_state(
    config: Config, device: torch.device, mesh: DiscriminatorParallel | None = None
) -> State:
    """The state before the first step: a function of the config alone, and this rank's share of
    it by the mesh."""
    mesh = mesh or DiscriminatorParallel(1, 1, config.gan.discriminators)
    members = mesh.members()
    discriminators = build_discriminators(
        config.model.architecture,
        len(members),
        first=members.start,
        resolution=config.data.resolution,
        channels=config.data.channels,
        width=config.model.discriminator_width,
        norm=config.model.discriminator_norm,
        seed=config.seed,
    )
    dtype = DTYPES[config.train.precision]
    generator = make_generator(config).to(device, dtype)
    discriminators = discriminators.to(device, dtype)
    fast = config.train.engine == "fast"
    if fast:
        lay_out(generator, device)
        lay_out(discriminators, device)
    average = None
    if config.optim.ema_half_life_images > 0:
        average = copy.deepcopy(generator).requires_grad_(False)
    betas = (config.optim.beta1, config.optim.beta2)
    graphs = fast and device.type == "cuda"
    if config.train.precision == "bf16":
        compute_in_bfloat16(generator)
        compute_in_bfloat16(discriminators)
    return State(
        mesh,
        generator,
        discriminators,
        average,
        Adam(generator.parameters(), config.optim.lr_g, betas, fused=fast, capturable=graphs),
        Adam(discriminators.parameters(), config.optim.lr_d, betas, fused=fast, capturable=graphs),
    )


def lay_out(network: nn.Module, device: torch.device) -> None:
    """Weights as the device computes with them fastest: the same values, under the same names."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device.type == "cpu":
        use_im2col(network)


def _way(optimizer: Adam) -> dict[str, Any]:
    """How this device computes Adam's step, which a checkpoint of another one must not change."""
    return {name: optimizer.param_groups[0][name] for name in ("fused", "capturable")}


def lay_out_moments(optimizer: Adam) -> None:
    """Adam's moments as the weights lie, which its fused kernels take for granted."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter).copy_(value)
