"""A run that begins with the weights of another one."""

import shutil
from pathlib import Path

import pytest
import torch
from tests.program import weights, written

from d3gan import config as configs
from d3gan.cli.main import main
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.runs import RunFolder
from d3gan.tensor_files import read_tensors, write_tensors
from d3gan.training import trainer
from d3gan.training.checkpoint import newest_checkpoint, read_checkpoint
from d3gan.training.inference import load
from d3gan.training.trainer import train


@pytest.fixture
def source(tiny: Config) -> RunFolder:
    return train(tiny)


def begun(config: Config, **values: object) -> dict[str, torch.Tensor]:
    """Return the weights of a run after steps that change nothing."""
    still = {"lr_g": 1e-30, "lr_d": 1e-30, "ema_half_life_images": 1e12}
    changes = {"name": "new", "optim": still, "train": {"epochs": 0.2}, "model": values}
    return weights(train(configs.from_dict(changes, config)).path)


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.allclose(one.double(), other.double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("what", ["run", "checkpoint"])
def test_a_run_begins_with_all_weights_of_another(
    source: RunFolder, tiny: Config, what: str
) -> None:
    place = source.path if what == "run" else source.checkpoint_file(10)
    new = begun(tiny, init_from=str(place))
    old = weights(source.path)
    assert new.keys() == old.keys()
    assert all(same(new[name], old[name]) for name in old)
    saved = newest_checkpoint(RunFolder(source.path.parent / "new"))
    assert saved is not None
    assert saved["step"] == 1


def test_an_older_checkpoint_can_be_chosen(source: RunFolder, tiny: Config) -> None:
    new = begun(tiny, init_from=str(source.checkpoint_file(5)))
    older = read_checkpoint(source.checkpoint_file(5))["generator"]
    assert all(same(new[f"generator.{name}"], tensor) for name, tensor in older.items())


def test_an_export_gives_the_generator_alone(
    source: RunFolder, tiny: Config, tmp_path: Path
) -> None:
    file = tmp_path / "g.safetensors"
    trained = load(source.path)
    trained.save(file)
    new = begun(tiny, init_from=str(file))
    for name, tensor in trained.generator.state_dict().items():
        assert same(new[f"generator.{name}"], tensor)
        assert same(new[f"ema.{name}"], tensor)
    old = weights(source.path)
    assert not any(
        same(new[name], old[name])
        for name in old
        if name.startswith("discriminators") and name.endswith("weight")
    )


def test_the_run_is_reproducible_without_its_source(source: RunFolder, tiny: Config) -> None:
    config = configs.from_dict({"name": "new", "model": {"init_from": str(source.path)}}, tiny)
    run = train(config)
    saved = configs.from_dict(run.config())
    assert len(saved.model.init_sha256) == 64
    whole = weights(run.path)
    shutil.rmtree(source.path)
    for file in run.checkpoints.glob("step-*.pt"):
        file.unlink()  # as if it was killed before its first checkpoint
    train(saved, resume=True)
    assert all(torch.equal(tensor, whole[name]) for name, tensor in weights(run.path).items())
    again = configs.from_dict(
        {"name": "again", "model": {"init_from": str(run.initial_file)}}, saved
    )
    again_weights = weights(train(again).path)
    assert all(torch.equal(tensor, whole[name]) for name, tensor in again_weights.items())


def test_other_weights_than_those_recorded_are_refused(source: RunFolder, tiny: Config) -> None:
    model = {"init_from": str(source.path), "init_sha256": "0" * 64}
    with pytest.raises(UserError, match="are not those that the run began with"):
        train(configs.from_dict({"name": "new", "model": model}, tiny))
    assert not (source.path.parent / "new" / "config.toml").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model": {"generator_width": 8}},
            r"generator\.\S+ is \[\d.*\] there, and \[\d.*\] here",
        ),
        ({"model": {"discriminator_width": 8}}, r"discriminators\.members\.0\.\S+ is \["),
        ({"gan": {"discriminators": 3}}, "it has 2 discriminators, and this run 3; set"),
        (
            {"model": {"generator_norm": "none"}},
            r"generator\.\S+ is missing there, and \[\d+\] here",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(
    source: RunFolder, tiny: Config, changes: dict[str, object], message: str
) -> None:
    config = configs.from_dict({"name": "new", "model": {"init_from": str(source.path)}}, tiny)
    with pytest.raises(UserError, match=message):
        train(configs.from_dict(changes, config))


def test_weights_that_are_not_finite_are_refused(source: RunFolder, tiny: Config) -> None:
    file = source.checkpoint_file(10)
    saved = read_tensors(file)
    next(iter(saved["generator"].values())).fill_(float("nan"))
    write_tensors(file, saved)
    config = configs.from_dict({"name": "new", "model": {"init_from": str(source.path)}}, tiny)
    with pytest.raises(UserError, match=r"generator\.\S+ is not finite"):
        train(config)


def test_the_flag_of_the_command_line(
    source: RunFolder,
    tiny: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = written(configs.from_dict({"name": "new"}, tiny), tmp_path)
    assert main(["train", str(file), "--init-from", str(source.path)]) == 0
    run = RunFolder(source.path.parent / "new")
    assert configs.from_dict(run.config()).model.init_from == str(source.path)
    capsys.readouterr()
    assert main(["train", str(run.path), "--init-from", str(tmp_path)]) == 2
    assert "cannot change when a run is resumed" in capsys.readouterr().err
    monkeypatch.setattr(trainer, "train", lambda *_, **__: pytest.fail("nothing may be trained"))
    for word, message in (
        (tmp_path / "nowhere", "there is no run at"),
        (tmp_path / "x.pt", "there is no such file"),
    ):
        assert main(["train", "demo-d3gan", f"--init-from={word}"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"model.init_from = '{word}': {message}" in line
