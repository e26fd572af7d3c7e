"""The documentation of the studies agrees with their committed results."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from d3gan.cli.compare import Compare, planned
from d3gan.report import wording
from d3gan.study.compare import compare
from d3gan.study.saved_study import load
from d3gan.study.statistics import mean_interval

ROOT = Path(__file__).parents[1]
RESULTS = sorted((ROOT / "studies" / "results").iterdir())


@cache
def comparison(folder: Path) -> dict[str, Any]:
    """Return what `d3gan report` finds in the folder."""
    saved = load(folder)
    assert saved is not None
    return compare(saved.folders(folder), saved.question, saved.warnings(folder))


def interval(found: dict[str, Any], digits: int = 2) -> str:
    mean, low, high = (number(found[key], digits) for key in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"


def number(x: float, digits: int) -> str:
    """Return the rounded number, without the sign of a negative zero."""
    text = f"{x:.{digits}f}"
    return text if float(text) else text.lstrip("-")


def study_markdown(found: dict[str, Any]) -> str:
    """Return the table of docs/studies.md, which `python tests/test_studies.py` prints."""
    metric = found["metric"]
    lines = [
        f"| method | {metric} at equal images | at equal time | at equal compute | training, s "
        "| reached the target | ratio of times | result |",
        "|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    (group,) = found["judgement"]["groups"]
    shown = {c["method"]: c for c in reversed(group["comparisons"])}
    for name, values in found["methods"].items():
        runs = found["runs"][name]
        seconds = sum(run["train_seconds"] for run in runs) / len(runs)
        times = group["times"][name]["seconds"]["1.25"]
        one = shown.get(name, {})
        cells = [
            name,
            interval(values[metric]),
            interval(found["at_equal_time"][name][metric]),
            interval(found["at_equal_compute"][name][metric]),
            f"{seconds:.0f}",
            f"{sum(time['reached'] is not None for time in times)} of {len(times)}",
            wording.ratio_interval(one.get("time")).replace(wording.UNKNOWN, "-"),
            one.get("word", "-"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def methods_markdown(found: dict[str, Any]) -> str:
    """Return the table of docs/methods.md: every metric at equal images, and the time unless the
    study is not about seconds."""
    names = list(next(iter(found["methods"].values())))
    timed = any(c["clock"] == "seconds" for c in found["judgement"]["groups"][0]["comparisons"])
    columns = [*names, *(["training, s"] if timed else [])]
    lines = [f"| method | {' | '.join(columns)} |", "|---|" + "--:|" * len(columns)]
    for method, values in found["methods"].items():
        runs = found["runs"][method]
        seconds = sum(run["train_seconds"] for run in runs) / len(runs)
        cells = [interval(values[name], digits(name)) for name in names]
        cells += [f"{seconds:.0f}"] if timed else []
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def digits(metric: str) -> int:
    return {"modes": 0, "kid": 3, "kd": 3}.get(metric, 2)


@pytest.mark.parametrize("folder", RESULTS, ids=lambda folder: folder.name)
def test_the_docs_have_the_results(folder: Path) -> None:
    page, table = page_and_table(folder)
    assert table in (ROOT / "docs" / page).read_text(encoding="utf-8")


def page_and_table(folder: Path) -> tuple[str, str]:
    """Return the page of docs/ that has the results of a study, and their table there."""
    if folder.name in ("mnist-cpu", "demo-precision"):
        return "studies.md", study_markdown(comparison(folder))
    page = "evidence.md" if folder.name == "mnist-pilot" else "methods.md"
    return page, methods_markdown(comparison(folder))


def test_bfloat16_trains_as_well_as_float32() -> None:
    """Zero is in the interval of the differences between seeds, as the documentation says."""
    runs = comparison(ROOT / "studies" / "results" / "demo-precision")["runs"]
    final = [[run["best"]["value"] for run in runs[name]] for name in ("fp32", "bf16")]
    assert {run["best"]["images"] for name in runs for run in runs[name]} == {40_000}
    difference = mean_interval([bf16 - fp32 for fp32, bf16 in zip(*final, strict=True)])
    assert difference.low is not None
    assert difference.high is not None
    assert difference.low < 0 < difference.high
    text = " ".join((ROOT / "docs" / "studies.md").read_text(encoding="utf-8").split())
    sentence = f"{difference.mean:.2f} more ({difference.low:.2f} to {difference.high:.2f})"
    assert sentence in text


@pytest.mark.parametrize("folder", RESULTS, ids=lambda folder: folder.name)
def test_the_results_are_of_the_study_s_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = comparison(folder)
    monkeypatch.chdir(ROOT)
    study = planned(Compare(study=f"studies/{folder.name}.toml"))
    saved = load(folder)
    assert saved is not None
    assert (saved.question, saved.changed) == (study.question, ())
    assert saved.runs == tuple(run.name for run in study.runs)
    assert found["judgement"]["left_out"] == []
    assert list(found["methods"]) == study.methods
    for name, runs in found["runs"].items():
        of_study = [run for run in study.runs if run.method == name]
        assert [run["seed"] for run in runs] == [run.config.seed for run in of_study]
        assert found["configs"][name]["train.epochs"] == of_study[0].config.train.epochs
        assert {run["status"] for run in runs} <= {"finished", "collapsed", "diverged"}


@pytest.mark.parametrize("folder", RESULTS, ids=lambda folder: folder.name)
def test_the_results_are_small_and_name_no_machine_s_folders(folder: Path) -> None:
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 1e6
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert "/tmp/" not in text
        assert "/home/" not in text


if __name__ == "__main__":
    for path in RESULTS:
        print(*page_and_table(path), sep="\n")
