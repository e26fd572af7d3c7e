"""The state of a run: networks and optimizers, saved and loaded as one dictionary."""

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from d3gan.acceleration.adam import ChannelsLastAdam
from d3gan.acceleration.double_backward import use_fast_double_backward
from d3gan.acceleration.folded import fold_resampling
from d3gan.acceleration.precision import DTYPES, compute_in_bfloat16
from d3gan.config import Config
from d3gan.devices import channels_last_format, onto
from d3gan.errors import UserError
from d3gan.gan.aggregation import AGGREGATIONS
from d3gan.networks.ensemble import Ensemble
from d3gan.training import distributed
from d3gan.training.build import build_discriminators, build_generator, model_classes
from d3gan.training.distributed import DiscriminatorParallel
from d3gan.training.shares import SHARED, merge_shares, select_share


@dataclass
class State:
    """Everything that training changes. The networks are not wrapped."""

    parallel: DiscriminatorParallel
    """Assigns a share of the discriminators to this rank."""
    classes: int
    """Number of classes of a conditional model; 0 for an unconditional one."""
    generator: nn.Module
    discriminators: Ensemble
    ema: nn.Module | None
    """Moving average of the generator, if the configuration asks for one."""
    optimizer_g: Adam
    optimizer_d: Adam
    aggregation: dict[str, Tensor] = field(default_factory=dict)
    """State of the aggregation rule, by name; the same on every rank."""
    step: int = 0
    train_seconds: float = 0.0

    @property
    def sampler(self) -> nn.Module:
        """The generator to sample from."""
        return self.ema if self.ema is not None else self.generator

    def is_finite(self) -> bool:
        """Return whether all weights on all ranks are finite. All ranks call it together."""
        networks = (self.generator, self.discriminators)
        weights = [p for network in networks for p in network.parameters()]
        finite = bool(torch.stack([weight.isfinite().all() for weight in weights]).all())
        return not distributed.any_rank(not finite)

    def _parts(self) -> dict[str, Any]:
        parts = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: part for name, part in parts.items() if hasattr(part, "state_dict")}

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values; on the main rank those of all discriminators.

        All ranks call it together.
        """
        saved = {name: part.state_dict() for name, part in self._parts().items()}
        for name in ("optimizer_g", "optimizer_d"):
            for group in saved[name]["param_groups"]:
                group["lr"] = float(group["lr"])  # a tensor on the device under CUDA graphs
        saved["parameters_per_discriminator"] = [
            len(list(member.parameters())) for member in self.discriminators.members
        ]
        saved["aggregation"] = {name: x.clone() for name, x in self.aggregation.items()}
        saved |= {"step": self.step, "train_seconds": self.train_seconds, "classes": self.classes}
        shares = self.parallel.gather_row({name: saved[name] for name in SHARED})
        return saved | merge_shares(shares) if shares else saved

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned. Raises UserError if it is of other networks."""
        try:
            if "average" in saved:  # the key's name in older checkpoints
                saved = {**saved, "ema": saved["average"]}
            saved = {**saved, **select_share(saved, self.parallel.members())}
            optimizers = (self.optimizer_g, self.optimizer_d)
            options = [_kernel_options(optimizer) for optimizer in optimizers]
            for name, part in self._parts().items():
                part.load_state_dict(saved[name])
            for optimizer, of_device in zip(optimizers, options, strict=True):
                optimizer.param_groups[0] |= of_device
                lay_out_moments(optimizer)
            _load_tensors(self.aggregation, saved.get("aggregation", {}))
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise UserError(
                "the checkpoint does not match the run's config.toml; restore one of the two "
                f"({str(error).splitlines()[-1].strip()})"
            ) from error
        self.step, self.train_seconds = saved["step"], saved["train_seconds"]


def make_state(
    config: Config,
    device: torch.device,
    parallel: DiscriminatorParallel | None = None,
    classes: int = 0,
    *,
    plain: bool = False,
    initialise: bool = True,
) -> State:
    """Return the state before the first step, a function of the configuration alone.

    This rank holds the discriminators that `parallel` assigns to it. `classes` is the number of
    classes of the data, used if the model is conditional. `plain` leaves layers and optimizers as
    torch has them, for the baseline. Without `initialise` the weights are arbitrary.
    """
    parallel = parallel or DiscriminatorParallel(1, 1, config.gan.discriminators)
    dtype, classes = DTYPES[config.train.precision], model_classes(config, classes)
    generator = build_generator(config, classes, initialise=initialise).to(device, dtype)
    members = parallel.members()
    discriminators = build_discriminators(config, classes, members, initialise=initialise)
    discriminators = discriminators.to(device, dtype)
    if not plain:
        lay_out(generator, device)
        lay_out(discriminators, device)
        if config.gan.penalties:
            use_fast_double_backward(discriminators)
    ema = None
    if config.ema_half_life > 0:
        ema = copy.deepcopy(generator).requires_grad_(False)
    betas = (config.optim.beta1, config.optim.beta2)
    options: dict[str, Any] = {"fused": not plain}
    adam = Adam if plain or device.type != "cpu" else ChannelsLastAdam
    rule = AGGREGATIONS.build(config.gan.aggregation)
    aggregation = rule.initial_state(config.gan.discriminators)
    if config.train.precision == "bf16":
        compute_in_bfloat16(generator)
        compute_in_bfloat16(discriminators)
    return State(
        parallel,
        classes,
        generator,
        discriminators,
        ema,
        adam(generator.parameters(), config.optim.lr_g, betas, **options),
        adam(discriminators.parameters(), config.optim.lr_d, betas, **options),
        {name: onto(x, device) for name, x in aggregation.items()},
    )


def lay_out(network: nn.Module, device: torch.device) -> None:
    """Arrange the weights as the device computes with them fastest; values and names stay."""
    network.to(memory_format=channels_last_format(device))  # type: ignore[call-overload]
    if device.type == "cpu":
        fold_resampling(network)


def _load_tensors(tensors: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    """Overwrite the tensors in place. Raises ValueError if those saved are others."""
    wanted, found = ({n: tuple(x.shape) for n, x in each.items()} for each in (tensors, saved))
    if wanted != found:
        raise ValueError(f"its aggregation rule has the state {found}, and the run's has {wanted}")
    for name, tensor in tensors.items():
        tensor.copy_(saved[name])


def _kernel_options(optimizer: Adam) -> dict[str, Any]:
    """Return how this device computes Adam's step, which no checkpoint may change."""
    return {name: optimizer.param_groups[0][name] for name in ("fused", "capturable")}


def lay_out_moments(optimizer: Adam) -> None:
    """Arrange Adam's moments in memory like the weights, as its fused kernels require."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter).copy_(value)
