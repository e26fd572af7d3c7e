"""Which kernels compute the networks of a run: measured once, and stored in the run's folder.

Kernels differ in rounding, so a resumed run uses those with which it was begun, whatever would be
the fastest on the machine that resumes it.
"""

import dataclasses
import json
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from d3gan.acceleration import autotune
from d3gan.acceleration.convolutions import LIBRARY, convolutions, kernel_of, use_kernels
from d3gan.acceleration.cuda_graph import fastest_way
from d3gan.acceleration.precision import DTYPES
from d3gan.acceleration.processor import processor_name
from d3gan.config import Config
from d3gan.data.locations import cache_folder
from d3gan.errors import UserError
from d3gan.files import write_text, writing
from d3gan.messages import is_verbose
from d3gan.networks.ensemble import Way, joins_batches
from d3gan.runs import RunFolder
from d3gan.training.build import build_discriminators, build_generator, build_rules
from d3gan.training.numerics import training_numerics
from d3gan.training.state import State
from d3gan.training.static_step import is_recorded

JOINED_PIXELS = 64 * 32**2
"""Pixels of the largest batch with which one call of a discriminator is compared with two."""


LEAST_GAIN = 0.05
"""Share of the convolutions' time that kernels must save to be mentioned in the normal output."""


@dataclass(frozen=True)
class Kernels:
    """The content of kernels.json."""

    processor: str = ""
    """The processor or CUDA device on which they were chosen."""
    generator: dict[str, str] = field(default_factory=dict)
    """Kernel of each convolution, by the name of its layer."""
    discriminators: dict[str, str] = field(default_factory=dict)
    """The same, after the number k of the discriminator among all N."""
    join: bool = False
    """Whether real and generated images pass a discriminator in one call (`Ensemble.join`)."""
    way: Way = "sequential"
    """How several discriminators are computed (`Ensemble.way`)."""

    def apply(self, state: State) -> None:
        """Compute the networks of `state` with these kernels. Raises UserError."""
        try:
            for network in (state.generator, state.ema):
                if network is not None:
                    use_kernels(network, self.generator)
            for k, member in zip(
                state.parallel.members(), state.discriminators.members, strict=True
            ):
                use_kernels(member, _of_member(self.discriminators, k))
        except ValueError as error:
            raise UserError(
                f"{error}; move kernels.json out of the run's folder to choose others, which "
                "changes the run's rounding"
            ) from error
        state.discriminators.join, state.discriminators.way = self.join, self.way


def _of_member(kernels: dict[str, str], k: int) -> dict[str, str]:
    """Return the kernels of discriminator k, by the names of its layers."""
    start = f"{k}."
    return {name.removeprefix(start): kernel for name, kernel in kernels.items()
            if name.startswith(start)}  # fmt: skip


def choose_kernels(config: Config, state: State, run: RunFolder | None = None) -> str:
    """Use the kernels of the run, or measure which are fastest here; say which were measured.

    On CPUs these are the kernels of every convolution. On CUDA, where cuDNN chooses those, it is
    the way in which several discriminators are computed. On other devices, without
    `train.autotune`, and with `train.deterministic`, nothing is measured. All ranks call this
    together. Raises UserError.
    """
    measurable = next(state.generator.parameters()).device.type in ("cpu", "cuda")
    if config.train.autotune == "off" or config.train.deterministic or not measurable:
        return ""
    found, line = state.parallel.from_main(lambda: _chosen(config, state, run))
    Kernels(**found).apply(state)
    return line


def _chosen(config: Config, state: State, run: RunFolder | None) -> tuple[dict[str, Any], str]:
    """Return the kernels as plain values: those in the run's folder, or new ones and a line."""
    if run is not None and run.kernels_file.exists():
        return _read(run.kernels_file), ""
    device = next(state.generator.parameters()).device
    if device.type == "cuda":
        kernels, line = measure_on_cuda(config, state, device)
    else:
        kernels, line = measure(config, state, cache_folder() / "kernels")
    found = dataclasses.asdict(kernels)
    if run is not None:
        with writing(run.path):
            write_text(run.kernels_file, json.dumps(found, indent=2) + "\n")
    return found, line


def _read(file: Path) -> dict[str, Any]:
    names = {each.name for each in dataclasses.fields(Kernels)}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {name: value for name, value in found.items() if name in names}
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(
            f"{file} cannot be read ({error}); move it away to choose the kernels again, which "
            "changes the run's rounding"
        ) from error


def measure_on_cuda(config: Config, state: State, device: torch.device) -> tuple[Kernels, str]:
    """Return the fastest way to compute the discriminators, if the step is a CUDA graph."""
    images, side = len(state.parallel.images(config.train.batch_size)), config.data.resolution
    kernels = Kernels(torch.cuda.get_device_name(device))
    if is_recorded(config, build_rules(config.gan), state.parallel, device):
        shape, dtype = (images, config.data.channels, side, side), DTYPES[config.train.precision]
        pixels = torch.zeros(shape, dtype=dtype, device=device)
        labels = torch.zeros(images, dtype=torch.int64, device=device) if state.classes else None
        with training_numerics(config.train, device):
            way = fastest_way(state.discriminators, pixels, labels)
        kernels = dataclasses.replace(kernels, way=way)
    return kernels, f"discriminators are computed in the way {kernels.way!r}"


def measure(config: Config, state: State, cache: Path) -> tuple[Kernels, str]:
    """Return the fastest kernels, and what they gain in words ("" for little, unless verbose).

    The convolutions of `state` use them afterwards.
    """
    images = len(state.parallel.images(config.train.batch_size))
    images = -(-images // config.train.accumulate)
    try:
        layers = _layers(config, state, images)
    except RuntimeError as error:  # a plugin that computes on the host
        reason = str(error).partition("\n")[0]
        return Kernels(processor_name()), f"every convolution is computed by torch ({reason})"
    wanted = {str(x): partial(autotune.seconds_of, x) for each in layers for x in each.values()}
    seconds = autotune.measured(wanted, cache)
    chosen = [
        {name: autotune.best(seconds[str(layer)], LIBRARY) for name, layer in each.items()}
        for each in layers
    ]
    kernels = Kernels(processor_name(), chosen[0], chosen[1])
    kernels.apply(state)
    if joins_batches(state.discriminators.members[0]):
        kernels = dataclasses.replace(kernels, join=_join(config, state, images, cache))
    of_each = [
        (kernel, seconds[str(layer)])
        for each, names in zip(layers, chosen, strict=True)
        for kernel, layer in zip(names.values(), each.values(), strict=True)
    ]
    return kernels, _sentence(of_each)


def shown(kernel: str) -> str:
    """Return the name of a kernel in messages."""
    return "torch" if kernel == LIBRARY else kernel


def _sentence(chosen: list[tuple[str, autotune.Seconds]]) -> str:
    library = sum(seconds[LIBRARY] for _, seconds in chosen)
    gain = 1 - sum(seconds[kernel] for kernel, seconds in chosen) / library if library else 0.0
    if gain < LEAST_GAIN and not is_verbose():
        return ""
    counts = Counter(shown(kernel) for kernel, _ in chosen if kernel != LIBRARY).most_common()
    if not counts:
        return f"torch's own are the fastest for all {len(chosen)} convolutions"
    (first, count), *more = counts
    listed = f"{first} is faster for {count}" + "".join(f", {name} for {n}" for name, n in more)
    return (
        f"{listed} of {len(chosen)} convolutions: {100 * gain:.0f} % less time for all of them "
        "(--train.autotune off: torch's own kernels)"
    )


def _layers(config: Config, state: State, images: int) -> list[dict[str, autotune.Layer]]:
    """Return the convolutions of both networks by name, with the shapes of their images."""
    precision, side = config.train.precision, config.data.resolution
    classes = state.classes
    with torch.device("meta"):
        generator = build_generator(config, classes, initialise=False)
        discriminators = build_discriminators(config, classes, initialise=False)
        labels = (torch.empty(images, dtype=torch.int64),) if classes else ()
        z = torch.empty(images, config.model.latent_dim)
        seen = torch.empty(images, config.data.channels, side, side)
    twice = bool(config.gan.penalties)
    of_members = {
        f"{k}.{name}": layer
        for k, member in enumerate(discriminators.members)
        for name, layer in autotune.layers(member, (seen, *labels), precision, twice=twice).items()
    }
    return [autotune.layers(generator, (z, *labels), precision, twice=False), of_members]


def _join(config: Config, state: State, images: int, cache: Path) -> bool:
    """Return whether the first discriminator is faster if two batches pass it in one call."""
    discriminators, side = state.discriminators, config.data.resolution
    network = discriminators.members[0]
    dtype = next(network.parameters()).dtype
    images = min(images, max(2, JOINED_PIXELS // side**2))
    pixels = torch.zeros(images, config.data.channels, side, side, dtype=dtype)
    pixels = pixels.to(memory_format=torch.channels_last)
    penalised = bool(config.gan.penalties)
    pixels.requires_grad_(penalised)
    labels = torch.zeros(images, dtype=torch.int64) if state.classes else None
    weights = list(network.parameters())

    def work(join: bool) -> None:
        discriminators.join = join
        logits = discriminators(pixels, pixels, labels=labels, only=[0])
        loss = logits.sum()
        if penalised:
            (slope,) = torch.autograd.grad(loss, pixels, create_graph=True)
            loss = loss + slope.square().sum()
        torch.autograd.grad(loss, weights)

    layers = {name: kernel_of(layer) for name, layer in convolutions(network).items()}
    name = f"calls of {network!r} {layers} {tuple(pixels.shape)} {config.train.precision}"
    name += f" penalised={penalised}"
    calls = {"two": partial(work, False), "one": partial(work, True)}
    seconds = autotune.measured({name: partial(autotune.fastest, calls)}, cache)[name]
    discriminators.join = False
    return autotune.best(seconds, "two") == "one"
