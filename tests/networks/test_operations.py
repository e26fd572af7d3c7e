"""Parameters and operations of the networks of presets, counted on the device "meta"."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from d3gan.config import Config
from d3gan.config_files import load_preset
from d3gan.training.build import build_discriminators, build_generator, model_classes

DOC = Path(__file__).parents[2] / "docs" / "benchmarks.md"
PRESETS = (
    "cifar10-dcgan",
    "cifar10-sngan",
    "cifar10-sngan-conditional",
    "cifar10-r3gan",
    "mnist-sngan-small",
    "mnist-r3gan-small",
)
CLASSES = 10


def operations(network: nn.Module, *inputs: torch.Tensor) -> int:
    """Return the operations of a forward pass; a multiplication and its addition are two."""
    with FlopCounterMode(display=False) as counter:
        network(*inputs)
    return int(counter.get_total_flops())


def networks(config: Config) -> tuple[nn.Module, nn.Module]:
    classes = model_classes(config, CLASSES)
    with torch.device("meta"):
        return (
            build_generator(config, classes, initialise=False),
            build_discriminators(config, classes, initialise=False).members[0],
        )


def counted(config: Config, batch: int) -> tuple[int, int]:
    """Return the operations of a forward pass of G and of D on `batch` images."""
    generator, discriminator = networks(config)
    side, channels = config.data.resolution, config.data.channels
    z = torch.empty(batch, config.model.latent_dim, device="meta")
    images = torch.empty(batch, channels, side, side, device="meta")
    labels = torch.empty(batch, dtype=torch.int64, device="meta")
    given = (labels,) if config.model.conditional else ()
    return operations(generator, z, *given), operations(discriminator, images, *given)


def per_image(config: Config) -> list[float]:
    """Return the operations that one more image costs in G and in D.

    The power iteration of spectral norm does not depend on the number of images.
    """
    few, more = (counted(config, batch) for batch in (2, 4))
    return [(many - one) / 2 for one, many in zip(few, more, strict=True)]


def row(preset: str) -> str:
    """Return the row of docs/benchmarks.md; `python -m tests.networks.test_operations` prints."""
    config = load_preset(preset)
    sizes = [sum(p.numel() for p in network.parameters()) / 1e6 for network in networks(config)]
    flops = [count / 1e6 for count in per_image(config)]
    numbers = (f"{sizes[0]:.2f}", f"{sizes[1]:.2f}", f"{flops[0]:,.0f}", f"{flops[1]:,.0f}")
    return f"| {preset} | {' | '.join(numbers)} |"


@pytest.mark.parametrize("preset", PRESETS)
def test_the_documentation_has_the_counts(preset: str) -> None:
    assert row(preset) in DOC.read_text(encoding="utf-8")


@pytest.mark.parametrize("preset", PRESETS)
def test_every_image_costs_the_same(preset: str) -> None:
    config = load_preset(preset)
    two, six = (counted(config, batch) for batch in (2, 6))
    assert [six[0] - two[0], six[1] - two[1]] == [4 * each for each in per_image(config)]


def test_a_dcgan_by_hand() -> None:
    config = load_preset("cifar10-dcgan")
    latent, width, side = config.model.latent_dim, config.model.generator_width, 2
    maps = [8 * width, 4 * width, 2 * width, width, 3]
    expected = 2 * latent * maps[0] * side**2
    for before, after in pairwise(maps):
        expected += 2 * 16 * before * after * side**2  # transposed: each input meets each weight
        side *= 2
    assert per_image(config)[0] == expected


if __name__ == "__main__":
    for name in PRESETS:
        print(row(name))
