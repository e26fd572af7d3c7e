"""Which images each discriminator sees, with disjoint shards of the data (MD-GAN)."""

import copy
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d3gan import config as configs
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.training.engine import Engine
from d3gan.training.order import make_order
from d3gan.training.state import make_state

CPU = torch.device("cpu")


def sharded(swap: float = 0.0, batch: int = 8, **data: Any) -> Config:
    return configs.from_dict(
        {
            "data": {"sharded": True, "swap_every_epochs": swap} | data,
            "gan": {"discriminators": 3},
            "train": {"batch_size": batch},
        }
    )


def rows(config: Config, batch: int, images: int = 48) -> list[list[int]]:
    """Return the images of a batch that each discriminator sees."""
    count, size = config.gan.discriminators, config.train.batch_size
    indices, _ = make_order(config, range(size), images, range(count))(batch)
    assert indices.shape == (count * size,)
    return indices.view(count, size).tolist()


def test_each_discriminator_sees_its_own_shard_only() -> None:
    """In an epoch (6 batches) every discriminator sees its third of the images three times."""
    seen = [Counter[int]() for _ in range(3)]
    for batch in range(6):
        for counter, row in zip(seen, rows(sharded(), batch), strict=True):
            counter.update(row)
    assert all(set(counter.values()) == {3} and len(counter) == 16 for counter in seen)
    assert sorted(image for counter in seen for image in counter) == list(range(48))


def test_a_swap_moves_every_discriminator_to_another_shard() -> None:
    """With a swap after each third of an epoch, one epoch shows each of them all images once."""
    config, kept = sharded(swap=1 / 3), sharded()
    seen = [Counter[int]() for _ in range(3)]
    for batch in range(6):
        mine, unswapped = rows(config, batch), rows(kept, batch)
        assert sorted(map(sorted, mine)) == sorted(map(sorted, unswapped)), "the same parts"
        assert (mine == unswapped) == (batch < 2)
        if batch >= 2:
            assert all(a != b for a, b in zip(mine, unswapped, strict=True))
        for counter, row in zip(seen, mine, strict=True):
            counter.update(row)
    assert all(counter == dict.fromkeys(range(48), 1) for counter in seen)


@given(
    batch=st.integers(0, 40),
    cut=st.integers(0, 8),
    member=st.integers(0, 3),
    swap=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
)
def test_ranks_see_what_one_process_sees(batch: int, cut: int, member: int, swap: float) -> None:
    """Parts of the batch, and shares of the discriminators; images are mirrored alike."""
    config = sharded(swap, flip=True)

    def grid(part: range, members: range) -> torch.Tensor:
        indices, mirrored = make_order(config, part, 50, members)(batch)
        assert mirrored is not None
        return torch.stack([indices, mirrored]).view(2, len(members), len(part))

    whole = grid(range(8), range(3))
    parts = [
        torch.cat(
            [grid(part, members) for members in (range(member), range(member, 3)) if members], 1
        )
        for part in (range(cut), range(cut, 8))
        if part
    ]
    assert torch.equal(torch.cat(parts, dim=2), whole)


def test_more_discriminators_than_images_are_refused() -> None:
    with pytest.raises(UserError, match="2 images cannot be divided among 3 discriminators"):
        make_order(sharded(), range(8), 2, range(3))


@pytest.mark.parametrize("swap", [0.0, 0.5])
def test_a_run_resumed_before_a_swap_is_the_undisturbed_one(tiny: Config, swap: float) -> None:
    sections = {
        "data": {"sharded": True, "swap_every_epochs": swap},
        "gan": {"discriminators": 3, "aggregation": "softmax", "penalties": ["r1"]},
    }
    config = configs.validate(configs.from_dict(sections, tiny))
    images = torch.randint(0, 256, (40, 3, 16, 16), dtype=torch.uint8).numpy()
    undisturbed = Engine(config, make_state(config, CPU), images, CPU)
    for _ in range(2):  # the first swap is between the third and the fourth batch
        undisturbed.step()
    resumed = Engine(config, make_state(config, CPU), images, CPU)
    resumed.state.load_state_dict(copy.deepcopy(undisturbed.state.state_dict()))
    for _ in range(3):
        torch.testing.assert_close(undisturbed.step(), resumed.step(), rtol=0, atol=0)
    for network in ("generator", "discriminators"):
        mine, theirs = (getattr(e.state, network).state_dict() for e in (resumed, undisturbed))
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
