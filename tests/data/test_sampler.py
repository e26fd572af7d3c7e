import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d3gan.data.sampler import (
    assigned_shards,
    batch_indices,
    data_shards,
    flips,
    shard,
    shard_indices,
)


@given(length=st.integers(1, 50), batch=st.integers(1, 70), seed=st.integers(0, 2**40))
def test_every_image_is_seen_once_per_epoch(length: int, batch: int, seed: int) -> None:
    positions = torch.arange(3 * length)
    seen = torch.cat([batch_indices(seed, part, length) for part in positions.split(batch)])
    for epoch in seen.split(length):
        assert sorted(epoch.tolist()) == list(range(length))


def test_epochs_and_seeds_have_different_orders() -> None:
    positions = torch.arange(200)
    seen = batch_indices(0, positions, 100)
    assert not torch.equal(seen[:100], seen[100:])
    assert not torch.equal(seen, batch_indices(1, positions, 100))


@given(batch=st.integers(1, 300), world=st.integers(1, 9))
def test_shards_partition_a_batch_evenly(batch: int, world: int) -> None:
    shards = [shard(batch, rank, world) for rank in range(world)]
    assert [i for part in shards for i in part] == list(range(batch))
    sizes = [len(part) for part in shards]
    assert max(sizes) - min(sizes) <= 1


def test_ranks_see_the_images_that_one_process_sees() -> None:
    step, batch = 7, 10
    whole = step * batch + torch.arange(batch)
    parts = [step * batch + torch.tensor([*shard(batch, rank, 3)]) for rank in range(3)]
    together = torch.cat([batch_indices(0, part, 33) for part in parts])
    assert torch.equal(together, batch_indices(0, whole, 33))


def test_flips_are_fair_and_depend_on_the_position() -> None:
    drawn = flips(0, torch.arange(10_000))
    assert int(drawn.sum()) == pytest.approx(5000, abs=250)
    assert torch.equal(drawn[500:600], flips(0, torch.arange(500, 600)))


@given(length=st.integers(1, 60), count=st.integers(1, 6), seed=st.integers(0, 2**40))
def test_data_shards_are_disjoint_and_cover_the_data(length: int, count: int, seed: int) -> None:
    shards = data_shards(seed, count, length)
    assert sorted(torch.cat(shards).tolist()) == list(range(length))
    sizes = [len(part) for part in shards]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("batch", [1, 4, 50])
def test_a_shard_s_stream_shows_each_of_its_images_once_per_pass(batch: int) -> None:
    for number, images in enumerate(data_shards(3, 3, 20)):
        positions = torch.arange(3 * len(images))
        seen = torch.cat([shard_indices(3, part, number, 3, 20) for part in positions.split(batch)])
        passes = seen.split(len(images))
        assert all(sorted(each.tolist()) == sorted(images.tolist()) for each in passes)
        assert not torch.equal(passes[0], passes[1])


@given(count=st.integers(2, 9), seed=st.integers(0, 2**40))
def test_in_a_swap_every_discriminator_moves_to_another_shard(count: int, seed: int) -> None:
    """After `count` swaps each discriminator has had every shard, and is where it started."""
    assigned = [assigned_shards(seed, swaps, count) for swaps in range(count + 1)]
    assert assigned[0] == assigned[count] == list(range(count))
    assert all(sorted(each) == list(range(count)) for each in assigned)
    for k in range(count):
        assert sorted(each[k] for each in assigned[:count]) == list(range(count))
