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
TABLES = benchmark_program("tables")
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
AVX512, BF16, AVX2, NETWORKS, DATA = (
    results(name) for name in ("step-avx512", "step-bf16", "step-avx2", "step-networks", "data-cpu")
)


def test_the_docs_have_the_tables_of_the_results() -> None:
    """`python benchmarks/tables.py` writes them."""
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert text.count("<!-- table: ") == 7
    assert TABLES.with_tables(text) == text


def exchange_markdown(rows: list[dict[str, Any]]) -> str:
    """Return the small table of docs/benchmarks.md."""
    names = {"cifar10-d3gan": "shared memory", "by-gloo": "gloo"}
    lines = ["| exchange | ms/step | efficiency | exposed |", "|---|--:|--:|--:|"]
    for row in rows:
        lines.append(
            f"| {names[row['preset']]} | {row['ms_per_step']:.0f} "
            f"| {TABLES.spread(row, 'efficiency')} | {row['exposed_communication_share']:.1%} |"
        )
    return "\n".join(lines)


def test_the_docs_have_the_exchange_results() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert exchange_markdown(EXCHANGE["rows"]) in text


@pytest.mark.parametrize("found", [SCALING, EXCHANGE, WEAK, AVX512, BF16, AVX2, NETWORKS, DATA])
def test_the_results_are_of_clean_commits(found: dict[str, Any]) -> None:
    assert found["environment"]["commit"].isalnum(), "no -dirty"
    assert min(row["rounds"] for row in found["rows"]) >= 5


def cases(found: dict[str, Any]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return the rows of d3gan by discriminators, batch size, width, resolution and preset."""
    keys = ("discriminators", "batch_size", "width", "resolution", "preset")
    return {tuple(row[key] for key in keys): row for row in found["rows"][::2]}


def memory_ratios(found: dict[str, Any]) -> list[float]:
    pairs = zip(found["rows"][::2], found["rows"][1::2], strict=True)
    return [row["peak_memory_bytes"] / plain["peak_memory_bytes"] for row, plain in pairs]


def test_no_case_is_slower_than_the_plain_loop_or_takes_much_more_memory() -> None:
    """The recorded results; a benchmark on another machine may find others."""
    assert len(cases(AVX512)) == 3 * 3 * 2 * 2
    for found in (AVX512, BF16, AVX2, NETWORKS):
        assert min(row["ratio_to_baseline"] for row in cases(found).values()) >= 1
        assert max(memory_ratios(found)) <= 1.25


def test_the_readme_quotes_the_step_results() -> None:
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    case = (2, 64, 64, 32, "cifar10-d3gan")
    row, bf16, avx2 = (cases(found)[case] for found in (AVX512, BF16, AVX2))
    share = row["flops_per_second"] / row["matmul_flops_per_second"]
    (resident,) = [row for row in DATA["rows"] if row["feed"] == "resident"]
    assert f"{row['ratio_to_baseline']:.2f} times as fast as the plain loop" in text
    assert f"{bf16['ratio_to_baseline']:.2f} times in bfloat16" in text
    assert f"{avx2['ratio_to_baseline']:.2f} times without AVX-512" in text
    assert f"waits for data {100 * resident['waiting_share']:.1f} % of the time" in text
    assert f"runs at {100 * share:.0f} % of the rate of a large matrix product" in text
