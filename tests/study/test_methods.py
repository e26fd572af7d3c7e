"""Methods: their runs and their names."""

from pathlib import Path

import pytest
from tests.study.made_up_runs import FALLING, Studio, compare

from d3gan.study.methods import common_name


@pytest.mark.parametrize(
    ("runs", "common"),
    [
        ([("mnist-d3gan-seed-0", 0), ("mnist-d3gan-seed-1", 1)], "mnist-d3gan"),
        ([("mnist-dcgan-0", 0)], "mnist-dcgan"),
        ([("cifar10", 0)], "cifar10"),
        ([("cifar10-a", 0), ("cifar10-b", 1)], "cifar10"),
        ([("run10", 3), ("run11", 4)], "run"),
        ([("a", 0), ("b", 1)], "a"),
        ([("3", 3)], "3"),
        ([("x-train.batch_size-64-seed-12", 12)], "x-train.batch_size-64"),
    ],
)
def test_the_name_of_a_method(runs: list[tuple[str, int]], common: str) -> None:
    assert common_name(runs) == common


def test_methods_with_the_same_name_are_numbered(tmp_path: Path) -> None:
    first, second = Studio(tmp_path / "first"), Studio(tmp_path / "second")
    larger = {"model": {"generator_width": 128}}
    found = compare([first.run("a", 0, FALLING), second.run("a", 0, FALLING, config=larger)])
    assert list(found["methods"]) == ["a", "a (2)"]


def test_keys_that_do_not_change_the_result_do_not_separate_methods(studio: Studio) -> None:
    runs = [studio.run("dcgan", 0, FALLING)]
    runs.append(studio.run("dcgan", 1, FALLING, config={"train": {"log_every_steps": 7}}))
    assert list(compare(runs)["methods"]) == ["dcgan"]
