"""Pushing to the hub and loading from it, against a server on loopback."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard, constants

import d3gan
from d3gan import config as configs
from d3gan import hub as hub_client
from d3gan.cli.main import main
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.play.explorer import Explorer, View
from d3gan.publish import published_files, push, without_paths
from d3gan.runs import RunFolder
from d3gan.training.generator import TrainedGenerator
from d3gan.training.trainer import train
from tests.hub_server import TOKEN, HubServer, metadata_errors, serving
from tests.program import d3gan as run_d3gan

# The hub's client passes bytes to its HTTP library in a way that the library wants to change.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")

FILES = {"model.safetensors", "config.toml", "samples.png", "metrics.json", "README.md"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub, on which this process is logged in."""
    with serving() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        address = f"{server.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


@pytest.fixture
def run(measured: Config, quick_classifier: None) -> Path:
    """A run with evaluations and a report."""
    return train(measured).path


def rows_of(run: Path) -> list[dict[str, Any]]:
    return RunFolder(run).metrics()


def error_of(*arguments: object, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line with which a command fails."""
    capsys.readouterr()
    assert main(list(map(str, arguments))) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert said.out == ""
    return line


def test_a_pushed_generator_is_loaded_bit_for_bit(hub: HubServer, run: Path) -> None:
    pushed = push(run, "owner/digits", checkpoint="best")
    assert set(pushed.files) == FILES == set(hub.models["owner/digits"][-1])
    assert len(hub.models["owner/digits"]) == 2, "one commit after that of the empty repository"
    original = d3gan.load(run, "best")
    for name in (
        "hf://owner/digits",
        Path("hf://owner/digits"),
        f"hf://owner/digits@{pushed.revision}",
    ):
        loaded = d3gan.load(name)
        assert np.array_equal(loaded.sample(5, seed=3), original.sample(5, seed=3))
        for weight, tensor in original.generator.state_dict().items():
            assert torch.equal(loaded.generator.state_dict()[weight], tensor)
        assert (loaded.step, loaded.classes) == (original.step, original.classes)
    image = Explorer(Path("hf://owner/digits")).show(View(seed=3)).image
    assert np.array_equal(np.asarray(image), original.sample(1, seed=3)[0])


def test_a_revision_is_kept(hub: HubServer, run: Path) -> None:
    first = push(run, "owner/digits", checkpoint="4")
    second = push(run, "owner/digits", checkpoint="8")
    assert d3gan.load(f"hf://owner/digits@{first.revision}").step == 4
    assert d3gan.load("hf://owner/digits").step == second.step == 8


def test_a_card_passes_the_hub_s_validation(hub: HubServer, run: Path) -> None:
    push(run, "owner/digits", checkpoint="best", license="mit")
    text = hub.models["owner/digits"][-1]["README.md"].decode()
    card = ModelCard(text)
    card.validate()
    assert hub.requests.count("POST /api/validate-yaml") == 3, "twice by the push, and here"
    data = card.data
    assert (data.library_name, data.license) == ("d3gan", "mit")
    assert data.pipeline_tag == "unconditional-image-generation"
    report = rows_of(run)[-1]
    assert report["kind"] == "report"
    results = {result.metric_type: result for result in data.eval_results}
    assert {"fd", "cs", "kd", "recall"} <= set(results)
    for name, result in results.items():
        assert result.metric_value == report[name]
        assert "classifier" in result.metric_name
        assert "150 generated and 200 real images" in result.metric_name
        assert "Inception" not in result.metric_name
        assert (
            result.dataset_args["protocol"]["weights_sha256"]
            == report["protocol"]["weights_sha256"]
        )
    assert 'd3gan.load("hf://owner/digits")' in text
    assert "means over 3 draws" in text


def test_the_server_refuses_wrong_metadata() -> None:
    assert metadata_errors("# no metadata")
    assert metadata_errors("---\nlicense: [mit]\n---\n")
    assert metadata_errors("---\ndatasets:\n- a b\n---\n")
    assert not metadata_errors("---\nlicense: mit\n---\n")


def test_nothing_of_this_machine_is_published(run: Path, tmp_path: Path) -> None:
    trained = d3gan.load(run)
    rows = rows_of(run)
    files = published_files(trained, rows, "owner/digits", "")
    for name, content in files.items():
        assert str(tmp_path).encode() not in content, name
    config = tomllib.loads(files["config.toml"].decode())
    assert config["data"]["source"] == "labelled.npz"
    assert "license" not in files["README.md"].decode()
    assert set(json.loads(files["metrics.json"])[0]["protocol"]) == set(rows[0]["protocol"])


@pytest.mark.parametrize(
    ("source", "published"),
    [
        ("mnist", "mnist"),
        ("owner/pictures", "owner/pictures"),
        ("/home/me/photos/", "photos"),
        ("my_source:Stripes(count=3)", "Stripes"),
        ("in-memory:0123456789abcdef", "in-memory:0123456789abcdef"),
    ],
)
def test_names_of_sources_are_published(source: str, published: str, tiny: Config) -> None:
    config = configs.from_dict({"data": {"source": source}}, tiny)
    assert without_paths(config).data.source == published
    assert without_paths(config).out_dir == "runs"


def test_a_model_may_not_name_code(
    hub: HubServer, tiny: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`module.path:Name` could be any function of any installed package."""
    trained = d3gan.load(train(tiny).path)
    file = tmp_path / "touched"
    for key, value in (
        ("model", {"architecture": f"pathlib:Path.touch(self='{file}')"}),
        ("model", {"architecture": f"os:mkdir(path='{file}')"}),
        ("data", {"source": f"os:mkdir(path='{file}')"}),
        ("eval", {"features": f"os:mkdir(path='{file}')"}),
    ):
        try:
            config = configs.from_dict({key: value}, tiny)
        except UserError:
            continue  # no plugin
        changed = TrainedGenerator(config, trained.generator, trained.step)
        changed.save(tmp_path / "evil.safetensors")
        hub.models["stranger/model"] = [
            {"model.safetensors": (tmp_path / "evil.safetensors").read_bytes()}
        ]
        line = error_of("sample", "hf://stranger/model", capsys=capsys)
        assert "hf://stranger/model needs code outside of d3gan" in line
        assert not file.exists()


def test_the_command_line_pushes_samples_and_evaluates(
    hub: HubServer, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], labelled: Path
) -> None:
    summary = tmp_path / "pushed.json"
    assert main(["push", str(run), "owner/digits", "--private", "--json", str(summary)]) == 0
    assert "use: d3gan sample hf://owner/digits" in capsys.readouterr().out
    pushed = json.loads(summary.read_text())
    assert (pushed["repository"], pushed["step"]) == ("owner/digits", 8)
    assert hub.private == {"owner/digits"}
    grids = []
    for name in (run, "hf://owner/digits"):
        assert main(["sample", str(name), "-n", "4", "-o", str(tmp_path / "grid.png")]) == 0
        grids.append((tmp_path / "grid.png").read_bytes())
    assert grids[0] == grids[1]
    numbers = tmp_path / "fd.json"
    command = ["evaluate", "hf://owner/digits", "--samples", "150", "--draws", "1"]
    command += ["--metrics", "fd", "--against", str(labelled), "--json", str(numbers)]
    assert main(command) == 0
    assert json.loads(numbers.read_text())["fd"] > 0


def test_mistakes_are_one_line(
    hub: HubServer,
    tiny: Config,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub.models["owner/other"] = [{"README.md": b"# another model"}]
    line = error_of("sample", "hf://owner/none", capsys=capsys)
    assert "(there is no such repository, or it is private and needs `hf auth login`)" in line
    line = error_of("sample", "hf://owner/other@v2", capsys=capsys)
    assert "cannot download owner/other from the Hugging Face hub (it has no revision 'v2')" in line
    line = error_of("sample", "hf://owner/other", capsys=capsys)
    assert "hf://owner/other holds no generator of d3gan: there is no model.safetensors" in line
    line = error_of("sample", "hf://owner/other", "--checkpoint", "best", capsys=capsys)
    assert "checkpoint = 'best': hf://owner/other holds one generator" in line
    line = error_of("evaluate", "hf://owner/other", "--checkpoint", "all", capsys=capsys)
    assert "hf://owner/other holds one generator; --checkpoint all needs a run folder" in line
    run = train(tiny).path
    line = error_of("push", run, "stranger/digits", capsys=capsys)
    assert "cannot push to stranger/digits (the token is not valid or may not write there" in line
    line = error_of("push", run, "owner/digits", "--license", "My own", capsys=capsys)
    assert 'cannot push to owner/digits (ValueError: "license" must be one of' in line
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    line = error_of("push", run, "owner/digits", capsys=capsys)
    assert "cannot push to owner/digits (the token is not valid or may not write there" in line
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    line = error_of("push", run, "owner/digits", capsys=capsys)
    assert "cannot push to owner/digits: no answer from http://127.0.0.1:9" in line
    assert list(hub.models) == ["owner/other"]


def test_a_downloaded_model_is_used_without_a_network(
    hub: HubServer, tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(train(tiny).path, "owner/digits")
    before = d3gan.load("hf://owner/digits").sample(2)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert np.array_equal(d3gan.load("hf://owner/digits").sample(2), before)


def test_names_of_models_are_read() -> None:
    assert hub_client.hub_model("runs/digits") is None
    for text in ("hf://owner/name", "hf:/owner/name", "hf:\\owner\\name"):
        assert str(hub_client.hub_model(text)) == "hf://owner/name"
    assert str(hub_client.hub_model("hf://owner/name@refs/pr/1")) == "hf://owner/name@refs/pr/1"
    for text in ("hf://owner", "hf://owner/name/file", "hf://owner/name@"):
        with pytest.raises(UserError, match="must be hf://owner/name"):
            hub_client.hub_model(text)


@pytest.mark.slow
def test_push_and_sample_from_outside(tiny: Config, tmp_path: Path) -> None:
    run = train(tiny).path
    with serving() as server:
        environment = server.environment(tmp_path, HF_TOKEN=TOKEN)
        pushed = run_d3gan("push", run, "owner/digits", **environment)
        assert pushed.returncode == 0, pushed.stderr
        assert f"generator of step 10 of {run}: {server.endpoint}/owner/digits" in pushed.stdout
        assert pushed.stderr == ""
        for source, file in ((run, "run.npz"), ("hf://owner/digits", "hub.npz")):
            output = ("-n", 3, "--format", "npz", "-o", tmp_path / file)
            sampled = run_d3gan("sample", source, *output, **environment)
            assert sampled.returncode == 0, sampled.stderr
    images = [np.load(tmp_path / file)["images"] for file in ("run.npz", "hub.npz")]
    assert np.array_equal(*images)
