import subprocess
import sys

import numpy as np
import pytest

import d3gan
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.runs import RunFolder


def test_train_resume_and_sample(tiny: Config) -> None:
    run = d3gan.train(tiny, {"train": {"epochs": 1}})
    assert run == tiny.run_dir
    assert d3gan.train(run, {"train": {"epochs": 2}}) == run
    status = RunFolder(run).status()
    assert status is not None
    assert (status.state, status.step) == ("finished", 10)
    images = d3gan.load(run).sample(3, seed=1)
    assert np.array_equal(images, d3gan.load(run, "10").sample(3, seed=1))
    with pytest.raises(UserError, match="seed = 3: cannot change when a run is resumed"):
        d3gan.train(run, {"seed": 3})


def test_presets_and_errors() -> None:
    with pytest.raises(UserError, match="there is no preset 'demo-d3gna'"):
        d3gan.train("demo-d3gna")
    with pytest.raises(UserError, match=r"unknown key gan\.n"):
        d3gan.train("demo-d3gan", {"gan": {"n": 2}})
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        d3gan.trian  # noqa: B018
    assert d3gan.Config is Config


def test_evaluate_a_run(measured: Config, quick_classifier: None) -> None:
    run = d3gan.train(measured)
    (last,) = d3gan.evaluate(run, samples=150, metrics=["fd", "kd"])
    assert last["step"] == 8
    assert {"fd", "kd_stderr", "protocol"} < set(last)
    steps = [row["step"] for row in d3gan.evaluate(run, samples=150, checkpoint="all")]
    assert {4, 8} <= set(steps)
    with pytest.raises(UserError, match="samples = 1: must be at least 2"):
        d3gan.evaluate(run, samples=1)


def test_compare_runs(measured: Config, quick_classifier: None) -> None:
    runs = [d3gan.train(measured, {"name": f"a-seed-{seed}", "seed": seed}) for seed in (0, 1)]
    assert list(d3gan.compare(runs)["methods"]) == ["a"]


def test_importing_the_package_is_quick() -> None:
    code = "import d3gan, sys; print(len({'torch', 'numpy', 'tyro', 'rich'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert result.stdout.strip() == b"0", result.stderr
