"""The number of operations of a training step."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.kernels import use_everywhere
from tests.program import MAIN, group, written

from d3gan import config as configs
from d3gan.acceleration.convolutions import KERNELS
from d3gan.bench.baseline import Baseline
from d3gan.config import Config
from d3gan.data.cache import load_images
from d3gan.runs import RunFolder
from d3gan.training.engine import Engine
from d3gan.training.flops import counted_flops, flops_per_step
from d3gan.training.state import make_state

CPU = torch.device("cpu")


def test_operations_are_counted_as_by_hand() -> None:
    """A generator step of width w: sides and channels as in networks/dcgan.py."""
    config = configs.from_dict(
        {
            "data": {"source": "digits", "limit": 8, "resolution": 16, "channels": 1},
            "model": {
                "latent_dim": 5,
                "generator_width": 2,
                "discriminator_width": 2,
                "generator_norm": "none",
                "discriminator_norm": "none",
            },
            "train": {"batch_size": 4},
        }
    )
    maps = [16, 8, 4, 2]  # channels of the maps of side 1, 2, 4, 8
    sides = [1, 2, 4, 8]
    pairs = zip(maps, maps[1:], sides[1:], strict=False)
    inner = sum(2 * a * b * 16 * (side // 2) ** 2 for a, b, side in pairs)
    last = 2 * maps[-1] * 1 * 16 * 8**2
    generator = 2 * 5 * maps[0] + inner + last
    discriminator = last + inner + 2 * maps[0]
    # G once forward, and back for weights and inputs but the latents'; D forward on real and fake
    # images, back for weights and inputs but the images'; then, for G, forward and back for all.
    g = 4 * (3 * generator - 2 * 5 * maps[0])
    d = 4 * (2 * (3 * discriminator - last) + 3 * discriminator)
    images = load_images(config.data).images
    plain = Baseline(config, make_state(config, CPU, plain=True), images, CPU)
    assert counted_flops(plain.step) == g + d


@pytest.mark.parametrize("sections", [
    {},
    {"gan": {"discriminators": 3, "penalties": ["r1"]}},
    {"model": {"generator_norm": "batch"}, "train": {"batch_size": 2}},
])  # fmt: skip
def test_operations_are_those_of_a_complete_step(tiny: Config, sections: dict[str, Any]) -> None:
    config = configs.from_dict(sections, tiny)
    cpu, side = torch.device("cpu"), config.data.resolution
    images = np.zeros((20, config.data.channels, side, side), np.uint8)
    counted = counted_flops(Engine(config, make_state(config, cpu), images, cpu).step)
    assert flops_per_step(config) == counted


def test_the_number_does_not_depend_on_the_number_of_processes(
    tiny: Config, tmp_path: Path
) -> None:
    ends = group(MAIN, "train", written(tiny, tmp_path))
    assert [end.returncode for end in ends] == [0, 0], ends[0].stderr
    status = RunFolder(tiny.run_dir).status()
    assert status is not None
    assert status.flops_per_step == flops_per_step(tiny)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_kernel_has_the_operations_of_the_convolution(tiny: Config, precision: str) -> None:
    """Among them products by oneDNN, which torch's counter does not know."""
    images = load_images(tiny.data).images
    config = configs.from_dict({"train": {"precision": precision}}, tiny)
    counts = {}
    for kernel in KERNELS:
        state = make_state(config, CPU)
        for network in (state.generator, state.discriminators):
            use_everywhere(network, kernel)
        counts[kernel] = counted_flops(Engine(config, state, images, CPU).step)
    assert len(set(counts.values())) == 1, counts
