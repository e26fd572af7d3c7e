"""Processes that hold different discriminators train as one process that holds all."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.program import collectives, d3gan, group, written
from tests.training.distributed.test_several_processes import (
    TWENTY_STEPS,
    alone,
    assert_same_run,
    assert_same_weights,
    together,
)

from d3gan.config import Config, TrainConfig
from d3gan.errors import UserError
from d3gan.runs import RunFolder
from d3gan.training.checkpoint import newest_checkpoint
from d3gan.training.distributed import DiscriminatorParallel, make_discriminator_parallel
from d3gan.training.shares import SHARED, merge_shares, select_share
from d3gan.training.state import make_state
from d3gan.training.trainer import train

CPU = torch.device("cpu")


def test_rows_and_columns_divide_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = []
    for rank in range(6):
        monkeypatch.setenv("RANK", str(rank))
        mesh = DiscriminatorParallel(data=2, discriminator=3, discriminators=7)
        parts.append((list(mesh.images(5)), list(mesh.members())))
    shares = [[0, 1], [2, 3], [4, 5, 6]]
    assert parts == [([0, 1], s) for s in shares] + [([2, 3, 4], s) for s in shares]


def test_shares_combine_into_the_full_state(tiny: Config) -> None:
    gan = dataclasses.replace(tiny.gan, discriminators=5)
    config = dataclasses.replace(tiny, gan=gan)
    train(config)
    saved = newest_checkpoint(RunFolder(config.run_dir))
    assert saved is not None
    shares = [select_share(saved, range(a, b)) for a, b in ((0, 2), (2, 3), (3, 5))]
    assert [len(s["optimizer_d"]["state"]) for s in shares] == [2 * 11, 11, 2 * 11]
    for share, size in zip(shares, (2, 1, 2), strict=True):
        mesh = DiscriminatorParallel(1, 1, size)  # a share must load without the others
        gan = dataclasses.replace(tiny.gan, discriminators=size)
        make_state(dataclasses.replace(tiny, gan=gan), CPU, mesh).load_state_dict(saved | share)
    again = merge_shares(shares)
    for name in SHARED:
        expected = saved[name]
        expected = dict(expected) if isinstance(expected, Mapping) else expected
        torch.testing.assert_close(again[name], expected, rtol=0, atol=0)


def settings(rule: str, mesh: str, **train: Any) -> dict[str, dict[str, Any]]:
    gan = {"aggregation": rule, "discriminators": 3, "r1_gamma": 0.5}
    return {"train": TWENTY_STEPS | {"mesh": mesh} | train, "gan": gan}


def test_two_that_share_three_discriminators(tiny: Config, tmp_path: Path) -> None:
    """Both have the full batch, so batch norm also equals that of one process."""
    model = {"model": {"generator_norm": "batch", "discriminator_norm": "batch"}}
    one = alone(tiny, **settings("max", ""), **model)
    two = together(tiny, tmp_path, 2, **settings("max", "discriminator=2"), **model)
    assert_same_weights(two, one, 1e-8)
    mine, theirs = (
        [row for row in RunFolder(run).metrics() if row["kind"] == "train"] for run in (one, two)
    )
    for a, b in zip(mine, theirs, strict=True):
        for name in ("loss_g", "loss_d_real", "loss_d_fake", "r1", "weights", "chosen"):
            assert a[name] == pytest.approx(b[name], rel=1e-8), name


@pytest.mark.slow
def test_sync_norm_on_a_mesh_is_batch_norm_of_one(tiny: Config, tmp_path: Path) -> None:
    def norm(name: str) -> dict[str, dict[str, Any]]:
        return {"model": {"generator_norm": name, "discriminator_norm": name}}

    one = alone(tiny, **settings("max", ""), **norm("batch"))
    mesh = settings("max", "data=2,discriminator=2")
    assert_same_weights(together(tiny, tmp_path, 4, **mesh, **norm("sync")), one, 1e-8)


@pytest.mark.slow
def test_a_run_continues_on_another_mesh(tiny: Config, tmp_path: Path) -> None:
    """Two processes with a share each, then one process with all, then two again."""
    undisturbed = alone(tiny, **settings("max", ""))
    first = settings("max", "discriminator=2", epochs=1.0)
    run = together(tiny, tmp_path, 2, **first)
    result = d3gan("train", run, "--train.mesh", "", "--train.epochs", 2)
    assert result.returncode == 0, result.stderr
    mesh = ("--processes", 2, "--train.mesh", "data=1,discriminator=2")
    result = d3gan("train", run, "--train.epochs", 4, *mesh)
    assert result.returncode == 0, result.stderr
    assert_same_run(run, undisturbed, 1e-8)


def test_no_gradient_of_a_discriminator_is_sent(tiny: Config, tmp_path: Path) -> None:
    """A row sends the gradient of the images, and four losses for each image and discriminator, by
    which every process makes the same choice."""
    train = dataclasses.replace(tiny.train, mesh="discriminator=2")
    gan = dataclasses.replace(tiny.gan, discriminators=4)
    config = dataclasses.replace(tiny, train=train, gan=gan)
    state = make_state(config, CPU)
    generator = sum(parameter.numel() for parameter in state.generator.parameters())
    batch, (channels, side) = config.train.batch_size, (3, 16)
    assert sorted(collectives(written(config, tmp_path))) == sorted(
        [
            ("gloo:all_gather", 2 * batch),
            ("gloo:all_gather", 2 * 2 * batch),
            ("gloo:all_reduce", batch * channels * side**2),
            ("gloo:all_reduce", 4),
            ("gloo:all_reduce", generator),
        ]
    )


def test_each_process_holds_its_share_alone(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    gan = dataclasses.replace(tiny.gan, discriminators=4)
    config = dataclasses.replace(tiny, gan=gan)
    everything = make_state(config, CPU)
    monkeypatch.setenv("RANK", "1")
    share = make_state(config, CPU, DiscriminatorParallel(1, 2, 4))
    assert len(share.discriminators) == 2
    for mine, theirs in zip(
        share.discriminators.members, list(everything.discriminators.members)[2:], strict=True
    ):
        torch.testing.assert_close(mine.state_dict(), theirs.state_dict(), rtol=0, atol=0)
    (group,) = share.optimizer_d.param_groups
    assert len(group["params"]) == len(everything.optimizer_d.param_groups[0]["params"]) / 2


@pytest.mark.parametrize(
    ("mesh", "message"),
    [
        ("data=2,discriminator=2", r"needs 4 processes, and there are 1; start 4, or change"),
        ("discriminator=3", r"needs 3 processes, and there are 1"),
        ("data=2", r"needs 2 processes"),
    ],
)
def test_a_mesh_for_other_processes_is_refused(mesh: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"train\.mesh = '{mesh}': {message}"):
        make_discriminator_parallel(TrainConfig(mesh=mesh), 4)


def test_a_mesh_with_more_columns_than_discriminators_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("d3gan.training.distributed.discriminator_parallel.world_size", lambda: 2)
    with pytest.raises(UserError, match="there are only 1 discriminators to divide"):
        make_discriminator_parallel(TrainConfig(mesh="discriminator=2"), 1)


@pytest.mark.slow
def test_a_share_that_is_not_finite_stops_all(tiny: Config, tmp_path: Path) -> None:
    """The weight is on one process only; the others must not wait for it."""
    code = """
import sys
import torch
from d3gan.training import distributed
from d3gan.training.engine import Engine
step = Engine.step
def breaking(engine):
    losses = step(engine)
    if engine.state.step == 5 and distributed.rank() == 1:
        with torch.no_grad():
            next(engine.state.discriminators.parameters()).fill_(float("nan"))
    return losses
Engine.step = breaking
from d3gan.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
    file = written(tiny, tmp_path, train={"mesh": "discriminator=2"})
    main, other = group(code, "train", file)
    assert main.returncode == other.returncode == 2, main.stderr + other.stderr
    assert "training diverged" in main.stderr
    assert (main.stderr + other.stderr).count("d3gan: error") == 1
