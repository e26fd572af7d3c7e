"""Several processes train as one process does."""

import dataclasses
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.program import (
    MAIN,
    chosen,
    d3gan,
    finish,
    group,
    posix_signals,
    start,
    torchrun,
    wait_for,
    weights,
    written,
)
from tests.scheduled import SCHEDULED

from d3gan import config as configs
from d3gan.config import Config, TrainConfig
from d3gan.errors import UserError
from d3gan.networks import ARCHITECTURES
from d3gan.runs import RunFolder
from d3gan.training import distributed
from d3gan.training.trainer import train

TWENTY_STEPS = {"epochs": 4.0, "batch_size": 8, "precision": "fp64"}


def assert_same_run(one: Path, other: Path, tolerance: float) -> None:
    assert_same_weights(one, other, tolerance)
    assert chosen(one) == chosen(other)
    assert len(set(chosen(one))) > 1, "the test could not detect a wrong choice"


def assert_same_weights(one: Path, other: Path, tolerance: float) -> None:
    mine, theirs = weights(one), weights(other)
    for name, tensor in theirs.items():
        difference = (mine[name] - tensor).double().norm() / tensor.double().norm()
        assert float(difference) < tolerance, f"{name}: {difference}"


def alone(config: Config, **sections: object) -> Path:
    """Train in this process."""
    return train(configs.from_dict({"name": "alone", **sections}, config)).path


def together(config: Config, folder: Path, processes: int, **sections: dict[str, Any]) -> Path:
    """Train the same run with several processes."""
    file = written(dataclasses.replace(config, name="together"), folder, **sections)
    for end in group(MAIN, "train", file, size=processes):
        assert end.returncode == 0, end.stderr
    return config.run_dir.with_name("together")


def test_two_processes_train_as_one(tiny: Config, tmp_path: Path) -> None:
    settings = {"train": TWENTY_STEPS, "gan": {"r1_gamma": 0.5}}
    one = alone(tiny, **settings)
    two = together(tiny, tmp_path, 2, **settings)
    assert len(chosen(one)) == 20
    assert_same_run(two, one, 1e-8)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_on_two_processes(
    tiny: Config, tmp_path: Path, architecture: str
) -> None:
    """Unconditional and conditional discriminators differ by the projection only."""
    settings: dict[str, dict[str, Any]] = {
        "model": {"architecture": architecture, "conditional": True},
        "gan": {"penalties": ["r1"], "aggregation": "mean"},
    }
    one = alone(tiny, **settings)
    two = together(tiny, tmp_path, 2, **settings)
    assert_same_weights(two, one, 1e-8)


@pytest.mark.parametrize("mesh", ["", "discriminator=2"])
def test_a_conditional_game_of_different_members_and_views(
    tiny: Config, tmp_path: Path, mesh: str
) -> None:
    gan = {
        "members": ["dcgan(width=2)", "dcgan(activation='mish', stages=2)", "dcgan(stages=3)"],
        "views": ["full", "patches(size=8)", "projection"],
        "objective": "relativistic",
        "aggregation": "softmax",
        "penalties": ["r1", "r2(gamma=0.5)", "wgan_gp(coefficient=0.1)"],
        "augmentations": ["color", "translation", "cutout"],
    }
    settings: dict[str, dict[str, Any]] = {"gan": gan, "model": {"conditional": True}}
    one = alone(tiny, **settings)
    two = together(tiny, tmp_path, 2, **settings, train={"mesh": mesh})
    assert_same_weights(two, one, 1e-8)


def test_every_schedule_on_two_processes(tiny: Config, tmp_path: Path) -> None:
    one = alone(tiny, **SCHEDULED)
    two = together(tiny, tmp_path, 2, **SCHEDULED)
    assert_same_weights(two, one, 1e-8)


@pytest.mark.parametrize("mesh", ["", "discriminator=2"])
def test_shards_of_the_data(tiny: Config, tmp_path: Path, mesh: str) -> None:
    """Parts of every discriminator's batch, or shares of the discriminators with their shards."""
    settings: dict[str, dict[str, Any]] = {
        "data": {"sharded": True, "swap_every_epochs": 0.3, "flip": True},
        "gan": {"discriminators": 3, "objective": "relativistic", "penalties": ["r1", "wgan_gp"]}
        | {"aggregation": "max"},
    }
    one = alone(tiny, **settings)
    two = together(tiny, tmp_path, 2, **settings, train={"mesh": mesh})
    assert_same_weights(two, one, 1e-8)


@pytest.mark.slow
def test_uneven_shards_are_weighted_by_size(tiny: Config, tmp_path: Path) -> None:
    settings = {"train": TWENTY_STEPS | {"batch_size": 7, "epochs": 2.0}}
    one = alone(tiny, **settings)
    three = together(tiny, tmp_path, 3, **settings)
    assert_same_run(three, one, 1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3, 4])
@pytest.mark.parametrize("norm", ["group", "none"])
def test_fifty_steps_on_any_number_of_processes(
    measured: Config, tmp_path: Path, processes: int, norm: str
) -> None:
    """With 50 images a step on 3 or 4 processes the shards are uneven; metrics agree too."""
    settings: dict[str, dict[str, Any]] = {
        "train": {"epochs": 12.5, "batch_size": 50, "precision": "fp64"},
        "eval": {"every_epochs": 12.5},
        "model": {"generator_norm": norm, "discriminator_norm": norm},
    }
    one = alone(measured, **settings)
    several = together(measured, tmp_path, processes, **settings)
    assert_same_weights(several, one, 1e-6)
    assert chosen(one) == chosen(several)
    mine, theirs = (
        [row for row in RunFolder(run).metrics() if row["kind"] == "eval"] for run in (one, several)
    )
    assert [row["step"] for row in mine] == [0, 50]
    assert [row["fd"] for row in mine] == pytest.approx([row["fd"] for row in theirs], rel=1e-5)


@pytest.mark.slow
def test_sync_norm_is_batch_norm_over_all_processes(tiny: Config, tmp_path: Path) -> None:
    def norm(name: str) -> dict[str, object]:
        return {
            "train": TWENTY_STEPS,
            "model": {"generator_norm": name, "discriminator_norm": name},
        }

    one = alone(tiny, **norm("batch"))
    two = together(tiny, tmp_path, 2, **norm("sync"))
    assert_same_weights(two, one, 1e-8)


@pytest.mark.slow
def test_under_torchrun(tiny: Config, tmp_path: Path) -> None:
    one = alone(tiny, train=TWENTY_STEPS)
    file = written(dataclasses.replace(tiny, name="two"), tmp_path, train=TWENTY_STEPS)
    finish(torchrun("train", file), timeout=240).check_returncode()
    assert_same_run(tiny.run_dir.with_name("two"), one, 1e-8)


@posix_signals
@pytest.mark.slow
def test_two_processes_stop_together_and_one_continues(tiny: Config, tmp_path: Path) -> None:
    settings = {"train": TWENTY_STEPS | {"epochs": 40.0, "log_every_steps": 8}}
    file = written(dataclasses.replace(tiny, name="two"), tmp_path, **settings)
    run = tiny.run_dir.with_name("two")
    process = start("train", file, "--processes", 2)
    wait_for((run / "metrics.jsonl").exists, process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert errors.count("a checkpoint is saved") == 1, "one process reports for all"
    saved = sorted((run / "checkpoints").iterdir())
    assert len(weights(run)) > 0
    assert d3gan("train", run).returncode == 0
    assert len(chosen(run)) == 200
    assert sorted((run / "checkpoints").iterdir()) != saved


def test_a_mistake_is_reported_once_and_ends_all(tiny: Config, tmp_path: Path) -> None:
    file = written(tiny, tmp_path, data={"source": "no-such-source"})
    result = d3gan("train", file, "--processes", 2)
    assert result.returncode == 2
    assert result.stderr.count("d3gan: error: ") == 1
    assert "no data source 'no-such-source'" in result.stderr
    assert "Traceback" not in result.stderr
    assert not tiny.run_dir.exists()


def test_every_function_works_without_a_group() -> None:
    assert distributed.rank() == 0
    assert distributed.world_size() == 1
    assert distributed.is_main()
    x = torch.tensor([1.0, 2.0])
    assert distributed.mean_over_ranks(x) is x
    assert distributed.any_rank(15) == 15
    mesh = distributed.make_discriminator_parallel(TrainConfig(), 3)
    assert (mesh.images(8), mesh.members()) == (range(8), range(3))
    network = torch.nn.Linear(1, 1)
    assert mesh.generator(network) is mesh.ensemble(network) is network
    assert mesh.all_gather_discriminators(x) is x
    with pytest.raises(UserError, match=r"^no room$"), distributed.raise_together():
        raise UserError("no room")


def test_cuda_without_a_device_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with pytest.raises(UserError, match="no CUDA device"), distributed.process_group("cuda"):
        pass
