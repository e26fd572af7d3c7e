"""The documents agree with the stored results, and the results are plausible."""

import json
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.benchmark_program import benchmark_program

ROOT = Path(__file__).parents[1]
RESULTS = json.loads(
    (ROOT / "benchmarks" / "results" / "real-against-real.json").read_text(encoding="utf-8")
)
STRONGER = {
    "blur": ["test images", "blur 0.5 px", "blur 1 px", "blur 2 px"],
    "jpeg": ["test images", "JPEG quality 75", "JPEG quality 25", "JPEG quality 5"],
    "noise": ["test images", "blur 1 px", "noise"],
}


@pytest.fixture
def program() -> ModuleType:
    return benchmark_program("real_against_real")


def rows(source: str) -> dict[str, dict[str, Any]]:
    return {row["images"]: row for row in RESULTS["rows"] if row["source"] == source}


@pytest.mark.parametrize("source", ["mnist", "cifar10"])
def test_the_docs_have_the_results(source: str, program: ModuleType) -> None:
    table = program.table(list(rows(source).values()))
    assert table in (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("source", ["mnist", "cifar10"])
@pytest.mark.parametrize("kind", STRONGER)
def test_stronger_is_worse(source: str, kind: str) -> None:
    """Every metric must react by more than its error; cs hardly reacts to mild changes."""
    measured = [rows(source)[name] for name in STRONGER[kind]]
    for name, sign in (("fd", 1), ("kd", 1), ("cs", -1), ("recall", -1), ("coverage", -1)):
        for better, worse in pairwise(measured):
            error = better[f"{name}_stderr"] + worse[f"{name}_stderr"] if name != "cs" else 0.0
            assert sign * (worse[name] - better[name]) > error, (name, better["images"])


@pytest.mark.parametrize("source", ["mnist", "cifar10"])
def test_real_against_real_and_one_class(source: str) -> None:
    test, one_class = rows(source)["test images"], rows(source)["class 0 alone"]
    assert abs(test["kd"]) < 3 * test["kd_stderr"]
    assert test["coverage"] > 0.95
    assert one_class["precision"] > 0.8
    assert one_class["recall"] < 0.35
    assert one_class["kl_data"] > 1.5


def test_the_program_degrades_images(program: ModuleType) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), np.uint8)
    for name, degrade in program.DEGRADED.items():
        degraded = degrade(images)
        assert (degraded.shape, degraded.dtype) == (images.shape, images.dtype)
        assert np.array_equal(degraded, images) == (name == "test images")
    smooth = [float(np.diff(program.blur(r)(images).astype(int)).std()) for r in (0.5, 1.0, 2.0)]
    assert smooth == sorted(smooth, reverse=True)


def results(name: str) -> dict[str, Any]:
    file = ROOT / "benchmarks" / "results" / f"{name}.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


SCALING, EXCHANGE, WEAK = (results(name) for name in ("scaling-cpu", "exchange-cpu", "weak-cpu"))
STEP, HALF_WIDTH, DATA = (results(name) for name in ("step-cpu", "step-width-32-cpu", "data-cpu"))


def spread(row: dict[str, Any], name: str, digits: int = 2) -> str:
    """Return a median with the smallest and the largest value."""
    return f"{row[name]:.{digits}f} ({row[f'{name}_low']:.2f} to {row[f'{name}_high']:.2f})"


def scaling_markdown(rows: list[dict[str, Any]]) -> str:
    """Return the table of docs/benchmarks.md; `python tests/test_benchmarks.py` prints it."""
    lines = [
        "| preset | scaling | mesh | processes | batch | images/s | ms/step | efficiency | exposed "
        "| warm-up, s | utilisation | peak memory, GB |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        lines.append(
            f"| {row['preset']} | {row['scaling']} | {row['mesh'] or '-'} | {row['processes']} "
            f"| {row['batch_size']} | {row['images_per_second']:.1f} | {row['ms_per_step']:.0f} "
            f"| {spread(row, 'efficiency')} | {row['exposed_communication_share']:.1%} "
            f"| {row['warm_up_seconds']:.1f} | {row['utilisation']:.0%} "
            f"| {row['peak_memory_bytes'] / 1e9:.2f} |"
        )
    return "\n".join(lines)


def test_the_docs_have_the_scaling_results() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert scaling_markdown(SCALING["rows"]) in text


def exchange_markdown(rows: list[dict[str, Any]]) -> str:
    """Return the small table of docs/benchmarks.md."""
    names = {"cifar10-d3gan": "shared memory", "by-gloo": "gloo"}
    lines = ["| exchange | ms/step | efficiency | exposed |", "|---|--:|--:|--:|"]
    for row in rows:
        lines.append(
            f"| {names[row['preset']]} | {row['ms_per_step']:.0f} "
            f"| {spread(row, 'efficiency')} | {row['exposed_communication_share']:.1%} |"
        )
    return "\n".join(lines)


def test_the_docs_have_the_exchange_results() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert exchange_markdown(EXCHANGE["rows"]) in text
    (row,) = WEAK["rows"]
    efficiency = (
        f"{spread(row, 'efficiency')}, with {row['exposed_communication_share']:.1%} exposed"
    )
    assert row["rounds"] == 15
    assert efficiency in " ".join(text.split())


@pytest.mark.parametrize("found", [SCALING, EXCHANGE, WEAK, STEP, HALF_WIDTH, DATA])
def test_the_results_are_of_clean_commits(found: dict[str, Any]) -> None:
    assert found["environment"]["commit"].isalnum(), "no -dirty"
    assert min(row["rounds"] for row in found["rows"]) >= 5


def step_markdown(widths: dict[int, list[dict[str, Any]]]) -> str:
    """Return the table of docs/roofline.md."""
    lines = [
        "| engine | width | N | images/s | ms/step | times baseline | operations per image "
        "| of the matrix product's rate | peak memory, GB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for width, rows in widths.items():
        for row in rows:
            lines.append(
                f"| {row['engine']} | {width} | {row['discriminators']} "
                f"| {row['images_per_second']:.0f} | {row['ms_per_step']:.0f} "
                f"| {spread(row, 'ratio_to_baseline')} "
                f"| {row['flops_per_step'] / row['batch_size'] / 1e9:.2f} G "
                f"| {row['flops_per_second'] / row['matmul_flops_per_second']:.0%} "
                f"| {row['peak_memory_bytes'] / 1e9:.2f} |"
            )
    return "\n".join(lines)


def data_markdown(rows: list[dict[str, Any]]) -> str:
    """Return the table of docs/benchmarks.md."""
    lines = [
        "| images from | alone, images/s | ms/step | waiting, ms | share of the step "
        "| step to resident |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        lines.append(
            f"| {row['feed']} | {row['images_per_second_alone']:,.0f} | {row['ms_per_step']:.0f} "
            f"| {row['waiting_ms']:.1f} | {row['waiting_share']:.2%} "
            f"| {spread(row, 'step_ratio_to_resident', 3)} |"
        )
    return "\n".join(lines)


def test_the_docs_have_the_step_results() -> None:
    text = (ROOT / "docs" / "roofline.md").read_text(encoding="utf-8")
    assert step_markdown({64: STEP["rows"], 32: HALF_WIDTH["rows"]}) in text


def test_the_docs_have_the_data_results() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert data_markdown(DATA["rows"]) in text


def test_the_readme_quotes_the_step_results() -> None:
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    (row,) = [r for r in STEP["rows"] if (r["engine"], r["discriminators"]) == ("d3gan", 2)]
    (half,) = [r for r in HALF_WIDTH["rows"] if r["engine"] == "d3gan"]
    assert f"{row['ratio_to_baseline']:.2f} times as fast as the plain loop" in text
    assert f"({half['ratio_to_baseline']:.2f} times at half the width)" in text


if __name__ == "__main__":
    print(scaling_markdown(SCALING["rows"]))
    print(step_markdown({64: STEP["rows"], 32: HALF_WIDTH["rows"]}))
    print(data_markdown(DATA["rows"]))
