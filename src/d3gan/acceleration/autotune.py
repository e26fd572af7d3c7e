"""Measures which kernel computes each convolution fastest on the CPU at hand.

Every convolution is timed alone, forward and backward, with each of its kernels in turn. Times are
cached for each machine and version of torch; of two measurements of the same layer the first one
counts, so that runs on one machine agree.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import Tensor, nn

from d3gan.acceleration.convolutions import convolutions, kernels_for, use_kernel
from d3gan.acceleration.precision import DTYPES, mixed_precision
from d3gan.acceleration.processor import machine_key
from d3gan.files import write_text

OPERATIONS = 1.5e9
"""Operations of a timed forward pass at most: batches that need more are timed in part."""

LEAST_IMAGES = 8
ROUNDS, MOST_ROUNDS, SECONDS = 3, 30, 0.15
"""Measurements of each kernel, in turn: as many as take `SECONDS` for all kernels together, within
these limits. The smallest time counts, so short kernels need many on a machine that is busy."""

HOPEFUL, HOPELESS = 2, 1.6
"""A kernel that takes so many times as long as the best one is measured in no further round after
the first ones."""

GAIN = 0.97
"""Share of the library's time that another kernel may take at most to replace it."""

Seconds = dict[str, float]
"""Time of each kernel."""


@dataclass(frozen=True)
class Layer:
    """A convolution as it is timed."""

    transposed: bool
    channels: tuple[int, int]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    groups: int
    bias: bool
    side: tuple[int, int]
    """Height and width of the images."""
    batch: int
    precision: str
    twice: bool
    """Whether it is differentiated twice, as gradient penalties do."""

    def build(self) -> nn.Module:
        """Return a layer with arbitrary weights."""
        kind = nn.ConvTranspose2d if self.transposed else nn.Conv2d
        sizes: Any = (*self.channels, self.kernel, self.stride, self.padding)
        rest: Any = {"groups": self.groups, "bias": self.bias}
        layer: nn.Module = kind(*sizes, **rest)
        return layer.to(DTYPES[self.precision], memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def images(self) -> Tensor:
        """Return images to time it on."""
        images = torch.ones(self.batch, self.channels[0], *self.side, dtype=DTYPES[self.precision])
        return images.to(memory_format=torch.channels_last)


def layers(
    network: nn.Module, inputs: Iterable[Tensor], precision: str, *, twice: bool
) -> dict[str, Layer]:
    """Return the convolutions of a network on the device "meta", by name, for its `inputs`.

    A layer that is called more than once appears as in its last call.
    """
    found: dict[str, Layer] = {}

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def note(module: nn.Module, given: tuple[Tensor, ...]) -> None:
            found[name] = _layer(module, given[0], precision, twice)

        return note

    hooks = [
        module.register_forward_pre_hook(hook(name))
        for name, module in convolutions(network).items()
    ]
    network(*inputs)
    for each in hooks:
        each.remove()
    return found


def _layer(module: nn.Module, images: Tensor, precision: str, twice: bool) -> Layer:
    assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    batch, _, height, width = images.shape
    stride, padding = tuple(module.stride), tuple(map(int, module.padding))
    transposed = isinstance(module, nn.ConvTranspose2d)
    positions = height * width if transposed else height * width / (stride[0] * stride[1])
    operations = 2 * module.weight.numel() * positions  # of one image
    most = max(LEAST_IMAGES, int(OPERATIONS / max(1, operations)))
    return Layer(
        transposed,
        (module.in_channels, module.out_channels),
        tuple(module.kernel_size),
        stride,
        padding,
        module.groups,
        module.bias is not None,
        (height, width),
        min(batch, most),
        precision,
        twice,
    )


def measured(wanted: Mapping[str, Callable[[], Seconds]], cache: Path) -> dict[str, Seconds]:
    """Return the times of the kernels of each thing, by its name: cached ones, or measured now.

    `cache` is the folder of the caches of all machines. A name must determine what is measured.
    """
    file = cache / f"{machine_key()}.json"
    known = _read(file)
    if new := {name: measure() for name, measure in wanted.items() if name not in known}:
        known = known | new
        with suppress(OSError):  # without a cache everything is measured each time
            cache.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{file}.lock"):
                known |= _read(file)  # written meanwhile by another process
                write_text(file, json.dumps(known, indent=1) + "\n", flush=False)
    return {name: known[name] for name in wanted}


def _read(file: Path) -> dict[str, Seconds]:
    """Return the times in a file; what is damaged is measured again."""
    with suppress(OSError, ValueError, AttributeError):
        content = json.loads(file.read_text(encoding="utf-8"))
        return {name: times for name, times in content.items() if _are_times(times)}
    return {}


def _are_times(value: object) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(seconds, float) and seconds > 0 for seconds in value.values())
    )


def seconds_of(layer: Layer) -> Seconds:
    """Return the time of one pass with each kernel: forward, and backward to images and weights."""
    images = layer.images().requires_grad_()
    modules = {}
    for name in kernels_for(layer.build()):
        module = layer.build()
        use_kernel(module, name)
        modules[name] = module
    work = {name: _passes(layer, module, images) for name, module in modules.items()}
    return fastest(work)


def fastest(work: Mapping[str, Callable[[], object]]) -> Seconds:
    """Return the smallest time of each kind of work, in turn after a warm-up.

    Work that is much slower than the best is left out after the first rounds.
    """
    seconds: Seconds = {}
    begun = time.perf_counter()
    for work_round in range(MOST_ROUNDS + 1):
        if work_round > ROUNDS and time.perf_counter() - begun > SECONDS:
            break
        for name, run in work.items():
            if work_round > HOPEFUL and seconds[name] > HOPELESS * min(seconds.values()):
                continue
            start = time.perf_counter()
            run()
            taken = time.perf_counter() - start
            if work_round:
                seconds[name] = min(taken, seconds.get(name, taken))
    return seconds


def best(seconds: Mapping[str, float], default: str) -> str:
    """Return the fastest, if it is clearly faster than the default."""
    name = min(seconds, key=lambda each: seconds[each])
    return name if seconds[name] < GAIN * seconds[default] else default


def _passes(layer: Layer, module: nn.Module, images: Tensor) -> Callable[[], object]:
    def passes() -> object:
        with torch.enable_grad():
            with _context(layer.precision):
                maps = module(images)
            if layer.twice:
                (slope,) = torch.autograd.grad(
                    maps, images, torch.ones_like(maps), create_graph=True
                )
                return torch.autograd.grad([slope, maps], list(module.parameters()),
                                           [slope.detach(), maps.detach()])  # fmt: skip
            inputs = [images, *module.parameters()]
            return torch.autograd.grad(maps, inputs, torch.ones_like(maps))

    return passes


def _context(precision: str) -> AbstractContextManager[Any]:
    """Return the context in which a network of this precision computes."""
    return mixed_precision(torch.device("cpu")) if precision == "bf16" else nullcontext()
