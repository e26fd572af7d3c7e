"""d3gan report, from run folders to the page."""

import html
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.program import run_code
from tests.report.made_up import study

from d3gan.cli.main import main
from d3gan.runs import RunFolder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up study of three methods and four seeds, in study/."""
    monkeypatch.chdir(tmp_path)
    study(tmp_path / "study")
    return tmp_path / "study"


def runs(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if (path / "config.toml").exists())


def test_a_folder_of_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "study", "--json", "found.json"]) == 0
    output = capsys.readouterr().out
    found = json.loads(Path("found.json").read_text())
    sentences = found["judgement"]["sentences"]
    texts = [*sentences, *(f"Warning: {w}." for w in found["warnings"])]
    lines = output.splitlines()
    assert lines[-1] == "report: study/report.html"
    assert " ".join(texts) in " ".join(lines)
    assert len(sentences) == 2
    assert all(len(line) <= 80 for line in lines)
    assert set(found["methods"]) == {"mnist-dcgan", "mnist-d3gan", "mnist-d3gan-mean"}
    assert found["methods"]["mnist-d3gan"]["fd"]["seeds"] == 4
    page = (folder / "report.html").read_text(encoding="utf-8")
    for method in found["methods"]:
        assert method in page
    for sentence in sentences:
        assert sentence in html.unescape(page)


def test_single_runs_and_another_baseline(folder: Path) -> None:
    named = [str(run) for run in runs(folder)]
    words = ["report", *named, "-o", "page.html", "--baseline", "mnist-d3gan", "--json", "x.json"]
    assert main(words) == 0
    assert Path("page.html").exists()
    found = json.loads(Path("x.json").read_text())
    (group,) = found["judgement"]["groups"]
    assert group["methods"] == ["mnist-d3gan", "mnist-d3gan-mean", "mnist-dcgan"]


def test_plots_as_files(folder: Path) -> None:
    assert main(["report", "study", "--format", "png", "-o", "plots"]) == 0
    files = sorted(Path("plots").glob("*.png"))
    assert len(files) > 5
    for file in files:
        with Image.open(file) as picture:
            assert min(picture.size) > 200


def test_json_alone_on_standard_output(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "study", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["metric"] == "fd"


def test_runs_with_different_protocols_are_left_out(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunFolder(runs(folder)[0])
    rows: list[dict[str, Any]] = run.metrics()
    for row in rows:
        if row["kind"] == "eval":
            row["protocol"]["real_images"] = 123
    run.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["report", "study"]) == 0
    lines = " ".join(capsys.readouterr().out.splitlines())
    left_out = "was evaluated by another protocol: its real_images is 123, not 60000."
    assert f"Left out: {run.path.name} {left_out}" in lines


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "there is no run at nowhere (no such folder)"),
        (["study", "--metric", "fid"], "no run has the metric 'fid'"),
        (["study", "--baseline", "mnist-dcgam"], "did you mean 'mnist-dcgan'"),
        (["study", "-o", "page.pdf"], "page.pdf"),
        ([], "missing argument: RUN ...; for example d3gan report runs/demo-d3gan"),
    ],
)
def test_mistakes(
    folder: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_report_does_not_import_torch(folder: Path) -> None:
    code = """
import sys
from d3gan.cli.main import main
status = main(sys.argv[1:])
sys.exit(status or "torch" in sys.modules)
"""
    result = run_code(code, "report", "study")
    assert result.returncode == 0, result.stderr
