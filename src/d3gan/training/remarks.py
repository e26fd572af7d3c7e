"""Remarks on a configuration that can be trained, but not to any purpose of its values."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from d3gan.config import Config
from d3gan.messages import warn
from d3gan.networks.spectral_norm import SpectralConv2d
from d3gan.registry import is_plugin
from d3gan.training import distributed
from d3gan.training.build import build_rules

USUAL_RATES = (1e-6, 1e-2)
"""Learning rates of Adam that GANs are trained with."""

DIGITS = ("digits", "mnist", "svhn", "stacked-mnist")
"""Data sets whose images have another meaning, or none, when they are mirrored."""

BATCH_NORM = nn.modules.batchnorm._BatchNorm


def remarks(
    config: Config, generator: nn.Module, discriminators: nn.Module, device: torch.device
) -> list[str]:
    """Return one line for each value that has no effect, or hardly the one that is meant.

    `config` is valid, and the networks are those that it describes.
    """
    networks = {"generator": generator, "discriminator": discriminators}
    return [
        *_of_rates(config),
        *_of_norms(config, networks),
        *_of_game(config, discriminators),
        *_of_evaluation(config),
        *_of_data_and_machine(config, device),
    ]


def print_remarks(
    config: Config, generator: nn.Module, discriminators: nn.Module, device: torch.device
) -> None:
    """Print the remarks on a config, on the main rank."""
    if distributed.is_main():
        for line in remarks(config, generator, discriminators, device):
            warn(line)


def _of_rates(config: Config) -> Iterator[str]:
    low, high = USUAL_RATES
    for name in ("lr_g", "lr_d"):
        rate = getattr(config.optim, name)
        if not low <= rate <= high:
            result = "training will hardly progress" if rate < low else "training may diverge"
            usual = f"is outside the usual range ({low:g} to {high:g})"
            yield f"optim.{name} = {rate:g} {usual}; {result}"


def _of_norms(config: Config, networks: dict[str, nn.Module]) -> Iterator[str]:
    """Report norms that no layer of a network of this package has."""
    used = [config.model.architecture, *config.gan.members]
    if any(map(is_plugin, used)):
        return  # it may have layers of its own
    for name, network in networks.items():
        norm = getattr(config.model, f"{name}_norm")
        if norm in (getattr(Config().model, f"{name}_norm"), "none"):
            continue
        if not _has(network, (BATCH_NORM, nn.GroupNorm)):
            members = config.gan.members if name == "discriminator" else ()
            whose = " and ".join(dict.fromkeys(members or used[:1]))
            yield f"model.{name}_norm = {norm!r} has no effect: {whose} has a {name} without it"


def _of_game(config: Config, discriminators: nn.Module) -> Iterator[str]:
    gan, default = config.gan, Config().gan
    if gan.discriminators == 1 and gan.aggregation != default.aggregation:
        yield f"gan.aggregation = {gan.aggregation!r} has no effect with one discriminator"
    penalties = build_rules(gan).penalties
    if any(penalty.interpolates for penalty in penalties) and _has(discriminators, BATCH_NORM):
        yield (
            "gan.penalties: wgan_gp limits the gradient of each image, which batch norm mixes with "
            "others; use model.discriminator_norm = 'group' or 'none'"
        )
    limited = penalties or _has(discriminators, SpectralConv2d)
    if gan.objective.partition("(")[0] == "wasserstein" and not limited:
        yield (
            "gan.objective = 'wasserstein': nothing limits the discriminators, whose losses will "
            "fall without bound; add gan.penalties = ['wgan_gp']"
        )
    optim = config.optim
    if not config.ema_half_life and optim.ema_ramp_up != Config().optim.ema_ramp_up:
        yield (
            f"optim.ema_ramp_up = {optim.ema_ramp_up:g} has no effect without an EMA; set "
            "optim.ema_half_life_images"
        )


def _of_evaluation(config: Config) -> Iterator[str]:
    every, patience = config.eval.every_epochs, config.eval.patience
    if not every:
        for name, value in (("patience", patience), ("monitor", config.eval.monitor)):
            if value:
                yield f"eval.{name} = {value!r} has no effect, because eval.every_epochs = 0"
        return
    evaluations = math.ceil(config.train.epochs / every)
    if patience >= evaluations:
        plural = "is 1 evaluation" if evaluations == 1 else f"are {evaluations} evaluations"
        yield f"eval.patience = {patience} has no effect: there {plural} in the run"


def _of_data_and_machine(config: Config, device: torch.device) -> Iterator[str]:
    if config.data.flip and config.data.source in DIGITS:
        yield f"data.flip = true mirrors the digits of {config.data.source}, and few stay digits"
    if config.train.precision == "tf32" and device.type == "cpu":
        yield "train.precision = 'tf32' has no effect on the CPU, which computes in fp32"


def _has(network: nn.Module, kinds: type[nn.Module] | Sequence[type[nn.Module]]) -> bool:
    wanted = kinds if isinstance(kinds, type) else tuple(kinds)
    return any(isinstance(layer, wanted) for layer in network.modules())
