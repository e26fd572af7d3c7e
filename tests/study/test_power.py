"""d3gan compare --power: the pilot runs of a study, and what the judge would say of it."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.study.made_up_runs import Studio

from d3gan.cli import power as program
from d3gan.cli.main import main
from d3gan.study import power

STUDY = """
name = "made-up"
out_dir = "{folder}"
seeds = [0, 1]
pilot_seeds = [100, 101, 102]
methods = ["{folder}/dcgan.toml", "{folder}/d3gan.toml"]
"""


@pytest.fixture
def study(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a study file; its pilot runs are trained, and differ by about 10 %."""
    monkeypatch.setattr(power, "STUDIES", 20)
    monkeypatch.setattr(power, "SEEDS", (3, 8))
    monkeypatch.setattr(program, "_timed", lambda run: 36.0)
    random = np.random.default_rng(0)
    for method in ("dcgan", "d3gan"):
        for seed in (100, 101, 102):
            error = 0.1 * random.standard_normal() + 0.03 * random.standard_normal(6)
            values = [50.0 / n * math.exp(e) for n, e in enumerate(error, start=1)]
            name = {"name": f"{method}-pilot-{seed}", "eval": {"metrics": ("fd",)}}
            run = studio.run(method, seed, values, start=99.0, config=name)
            run.path.rename(studio.folder / name["name"])
            text = (studio.folder / name["name"] / "config.toml").read_text(encoding="utf-8")
        (studio.folder / f"{method}.toml").write_text(
            text.replace(name["name"], method), encoding="utf-8"
        )
    file = studio.folder / "study.toml"
    file.write_text(STUDY.format(folder=studio.folder), encoding="utf-8")
    return file


def test_the_table_fits_80_columns(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(study), "--power"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines if line.strip()[:1].isdigit()] == ["3", "8"]
    assert "dcgan, d3gan estimated from 5 steps timed now" in " ".join(lines)


def test_more_seeds_have_more_power(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(study), "--power", "--effect", "1.5", "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    few, many = found["rows"]
    assert few["faster"] == few["false_claims"] == 0, "3 against 3 cannot show a difference"
    assert many["faster"] > 0.6
    assert many["false_claims"] <= 0.2
    assert (found["method"], found["baseline"], found["target"]) == ("d3gan", "dcgan", 1.25)
    assert many["hours"] == pytest.approx(8 * 2 * 36 / 3600)


def test_the_time_of_runs_on_this_machine_is_used(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from d3gan.training import environment

    here = {"cpu": "abacus", "gpus": None}
    monkeypatch.setattr(environment, "environment", lambda: here)
    assert main(["compare", str(study), "--power", "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["timed_here"] == []
    assert found["run_seconds"] == {"dcgan": 60.0, "d3gan": 60.0}


@pytest.mark.parametrize(
    ("start", "values", "message"),
    [
        (60.0, [50.0] * 5 + [48.0], "learned: dcgan learned nothing. Its best FD is 48.0, and it"),
        (99.0, [10.0] * 5 + [9.8], "3 of 3 pilot runs of d3gan reach it by their first evaluation"),
    ],
)
def test_pilot_runs_that_show_no_time_are_refused(
    start: float,
    values: list[float],
    message: str,
    study: Path,
    studio: Studio,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for method in ("dcgan", "d3gan"):
        for seed in (100, 101, 102):
            name = f"{method}-pilot-{seed}"
            shutil.rmtree(studio.folder / name)
            config = {"name": name, "eval": {"metrics": ("fd",)}}
            run = studio.run(method, seed, values, start=start, config=config)
            run.path.rename(studio.folder / name)
    assert main(["compare", str(study), "--power"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_missing_pilot_runs_are_named_with_the_command_that_trains_them(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (study.parent / "d3gan-pilot-102").rename(study.parent / "away")
    assert main(["compare", str(study), "--power"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "1 of 6 pilot runs are not trained (d3gan-pilot-102)" in line
    assert line.endswith(f"`d3gan compare {study} --pilot-only`")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--effect", "1"], "effect = 1: must be above 1"),
        (["--pilot-seeds", "100"], "needs at least two pilot seeds"),
    ],
)
def test_nonsense_is_refused(
    flags: list[str], message: str, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(study), "--power", *flags]) == 2
    assert message in capsys.readouterr().err


def test_pilot_only_needs_pilot_seeds(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = study.read_text(encoding="utf-8").replace("pilot_seeds = [100, 101, 102]", "")
    study.write_text(text, encoding="utf-8")
    assert main(["compare", str(study), "--pilot-only"]) == 2
    assert "the study has no pilot runs" in capsys.readouterr().err
