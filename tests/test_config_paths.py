"""Paths in a .toml file are relative to the file; what a run saves is absolute."""

import dataclasses
from pathlib import Path

import pytest

from d3gan import config as configs
from d3gan.config import Config
from d3gan.config_files import load_file
from d3gan.config_paths import absolute
from d3gan.data.sources import SOURCES
from d3gan.errors import UserError
from d3gan.source_names import SOURCE_NAMES
from d3gan.study.study_file import make_study, read_study


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Working directory, with a folder `configs` that holds the images `photos`."""
    (tmp_path / "configs" / "photos").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaded(text: str, name: str = "configs/mine.toml") -> Config:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text, encoding="utf-8")
    return load_file(Path(name))


def source(value: str) -> str:
    return loaded(f"data.source = '{value}'").data.source


def test_the_names_are_those_of_the_registry() -> None:
    assert set(SOURCES) == SOURCE_NAMES


def test_a_source_is_relative_to_its_file(folder: Path) -> None:
    assert source("photos") == str(Path("configs/photos"))
    assert source("./photos") == str(Path("configs/photos"))
    (folder / "shared").mkdir()
    assert source("../shared") == "shared"
    assert source(str(folder / "elsewhere")) == str(folder / "elsewhere")
    assert source("./missing") == str(Path("configs/missing"))
    assert source("missing.npz") == str(Path("configs/missing.npz"))
    assert loaded("data.source = 'photos'", "here.toml").data.source == "photos"


@pytest.mark.parametrize("name", sorted(SOURCE_NAMES))
def test_a_registered_name_stays_a_name(folder: Path, name: str) -> None:
    (folder / "configs" / name).mkdir(exist_ok=True)
    assert source(name) == name
    assert absolute(configs.from_dict({"data": {"source": name}})).data.source == name


@pytest.mark.parametrize("name", ["owner/name", "owner/name:config", "~/photos", "module:Name"])
def test_what_is_no_path_stays(name: str) -> None:
    assert source(name) == name


def test_a_path_that_only_the_working_directory_has_is_explained(folder: Path) -> None:
    (folder / "old").mkdir()
    with pytest.raises(UserError, match=r"mine.toml: data.source = 'old': there is no configs"):
        source("old")
    with pytest.raises(UserError, match=r"write '\.\./old'$"):
        source("old")


def test_other_paths_are_relative_to_their_file(folder: Path) -> None:
    config = loaded(
        "base = 'mnist-d3gan'\nout_dir = 'results'\n[eval]\nfeatures = 'classifier:photos'\n"
        "weights = 'net.safetensors'\n"
    )
    assert config.out_dir == str(Path("configs/results"))
    assert config.eval.features == f"classifier:{Path('configs/photos')}"
    assert config.eval.weights == str(Path("configs/net.safetensors"))
    assert loaded("base = 'mnist-d3gan'").out_dir == "runs"
    assert loaded("base = 'mnist-d3gan'").data.source == "mnist"


def test_an_out_dir_that_led_elsewhere_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "results").mkdir()
    assert loaded("out_dir = 'results'").out_dir == str(Path("configs/results"))
    (line,) = capsys.readouterr().err.splitlines()
    assert "its out_dir = 'results' is configs/results, and not results in the working" in line
    (folder / "configs" / "results").mkdir()
    loaded("out_dir = 'results'")
    assert capsys.readouterr().err == ""


def test_the_config_of_a_run_is_not_read_as_a_file_of_the_user() -> None:
    Path("runs/a").mkdir(parents=True)
    Path("runs/a/environment.json").write_text("[]")
    config = loaded("out_dir = 'runs'\ndata.source = 'photos'", "runs/a/config.toml")
    assert (config.out_dir, config.data.source) == ("runs", "photos")


def test_what_is_saved_is_absolute(folder: Path) -> None:
    values = {
        "out_dir": "out",
        "data": {"source": "configs/photos"},
        "eval": {"weights": "w.pt", "features": "classifier:configs/photos"},
    }
    config = absolute(configs.from_dict(values))
    assert config.data.source == str(folder / "configs" / "photos")
    assert config.eval.features == f"classifier:{folder / 'configs' / 'photos'}"
    assert (config.out_dir, config.eval.weights) == (str(folder / "out"), str(folder / "w.pt"))
    assert absolute(config) == config
    assert absolute(Config()) == dataclasses.replace(Config(), out_dir=str(folder / "runs"))


def test_paths_of_a_study_are_relative_to_its_file() -> None:
    file = Path("configs/study.toml")
    file.write_text(
        "out_dir = 'out'\n[methods.a]\nbase = 'mnist-d3gan'\ndata.source = 'photos'\n"
        "[methods.b]\nbase = 'b.toml'\n[set]\neval.weights = 'w.safetensors'\n"
    )
    Path("configs/b.toml").write_text("base = 'mnist-dcgan'\ndata.source = './photos'\n")
    study = make_study(read_study(file), origin=str(file))
    assert study.out_dir == Path("configs/out")
    assert {run.config.data.source for run in study.runs} == {str(Path("configs/photos"))}
    assert {run.config.eval.weights for run in study.runs} == {str(Path("configs/w.safetensors"))}
