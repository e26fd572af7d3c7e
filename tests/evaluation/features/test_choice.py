"""What eval.features = "auto" stands for. No test leaves this machine."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from d3gan import config as configs
from d3gan.config import Config, EvalConfig
from d3gan.config_files import load_file, load_preset, presets
from d3gan.errors import UserError
from d3gan.evaluation.features import inception_release
from d3gan.evaluation.features.choice import chosen
from d3gan.evaluation.features.extractor import load_features
from d3gan.evaluation.features.inception_release import cached_file, why_unreachable
from d3gan.evaluation.metrics.names import check_evaluation
from d3gan.training.trainer import train

AUTO = EvalConfig(features="auto")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[http.server.ThreadingHTTPServer]:
    """A server on loopback in place of the one that has the weights."""

    class Release(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200 if self.path == "/here" else 404)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Release) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.delenv("D3GAN_OFFLINE")
        url = f"http://127.0.0.1:{server.server_port}/here"
        monkeypatch.setattr(inception_release, "URL", url)
        yield server
        server.shutdown()


@pytest.fixture
def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server must not be asked."""
    monkeypatch.setattr(inception_release, "why_unreachable", None)


def test_features_that_are_named_are_kept(unasked: None, tmp_path: Path) -> None:
    for name in ("classifier", "inception", "classifier:digits", "own.module:Network"):
        evaluation = EvalConfig(features=name)
        assert chosen(evaluation, tmp_path) == (evaluation, "")


def test_inception_where_the_server_answers(
    server: http.server.ThreadingHTTPServer, tmp_path: Path
) -> None:
    evaluation, line = chosen(AUTO, tmp_path)
    assert evaluation == EvalConfig(features="inception")
    assert line == (
        "eval.features = inception: the weights can be downloaded from "
        f"http://127.0.0.1:{server.server_port}/here"
    )


def test_the_classifier_where_it_does_not(
    server: http.server.ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inception_release, "URL", inception_release.URL.replace("here", "gone"))
    evaluation, line = chosen(AUTO, tmp_path)
    assert evaluation == EvalConfig(features="classifier")
    assert line.startswith(
        "eval.features = classifier: the weights of inception cannot be downloaded (127.0.0.1: "
    )
    assert line.endswith("; for FID name their file, --eval.weights FILE")
    server.shutdown()
    server.server_close()
    monkeypatch.setattr(inception_release, "QUICK_SECONDS", 0.5)
    assert "127.0.0.1: " in why_unreachable()
    monkeypatch.setenv("D3GAN_OFFLINE", "1")
    assert why_unreachable() == "D3GAN_OFFLINE is set"


def test_inception_where_its_weights_are(unasked: None, tmp_path: Path) -> None:
    file = cached_file(tmp_path)
    file.parent.mkdir()
    file.touch()
    line = f"eval.features = inception: the weights are {file}"
    assert chosen(AUTO, tmp_path) == (EvalConfig(features="inception"), line)
    named = EvalConfig(features="auto", weights="there.pth")
    assert chosen(named, tmp_path / "empty")[0].features == "inception"
    named = EvalConfig(features="auto", weights="there.safetensors")
    assert chosen(named, tmp_path)[0].features == "classifier"


def test_metrics_that_inception_lacks_choose_the_classifier(unasked: None, tmp_path: Path) -> None:
    line = "eval.features = classifier: inception does not give "
    evaluation = EvalConfig(features="auto", monitor="fd")
    assert chosen(evaluation, tmp_path)[1] == f"{line}fd"
    evaluation = EvalConfig(features="auto", metrics=("precision", "modes"))
    assert chosen(evaluation, tmp_path)[1] == f"{line}modes"
    assert chosen(AUTO, tmp_path, "cs")[1] == f"{line}cs"
    with pytest.raises(UserError, match="'fid' is not a metric of classifier features"):
        chosen(EvalConfig(features="auto", metrics=("fid", "fd")), tmp_path)


def test_metrics_are_checked_before_the_choice() -> None:
    check_evaluation(EvalConfig(features="auto", metrics=("fid",)))
    check_evaluation(EvalConfig(features="auto", monitor="fd"))
    with pytest.raises(UserError, match="'fdi' is not a metric"):
        check_evaluation(EvalConfig(features="auto", metrics=("fdi",)))


def test_nothing_is_measured_with_auto(tiny: Config, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"eval.features = 'auto': must be inception"):
        load_features("auto", tiny.data, weights="", folder=tmp_path, device="cpu")  # type: ignore[arg-type]


def test_a_run_keeps_what_was_chosen(measured: Config, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(configs.from_dict({"eval": {"features": "auto"}}, measured))
    said = [line for line in capsys.readouterr().err.splitlines() if "eval.features" in line]
    assert said == [
        "d3gan: eval.features = classifier: the weights of inception cannot be downloaded "
        "(D3GAN_OFFLINE is set); for FID name their file, --eval.weights FILE"
    ]
    config = load_file(run.config_file)
    assert config.eval.features == "classifier"
    longer = configs.from_dict({"train": {"epochs": 2.5}}, config)
    train(longer, resume=True)
    assert "eval.features" not in capsys.readouterr().err


def test_presets_of_cifar_choose() -> None:
    for name in presets():
        cifar = name.startswith("cifar") and not name.endswith("-small")  # those are for CPUs
        demo = name.startswith("demo")  # its digits are MNIST's, whose classifier is shipped
        expected = "auto" if cifar else "classifier:mnist" if demo else "classifier"
        assert load_preset(name).eval.features == expected, name
