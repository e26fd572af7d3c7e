"""The same numbers for any number of processes and any batch size."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.evaluation.measuring import changed, evaluator, numbers_of, rows
from tests.program import d3gan, finish, start_process, torchrun, written

from d3gan.config import Config, DataConfig
from d3gan.data.cache import load_images
from d3gan.evaluation import real_statistics
from d3gan.evaluation.evaluator import Evaluator, Measurement, mean_over_draws
from d3gan.evaluation.features.extractor import Features
from d3gan.evaluation.metrics.estimate import Estimate
from d3gan.evaluation.options import EvaluationOptions
from d3gan.evaluation.protocol import REPORT_SEEDS, SELECTION_SEED, check_comparable
from d3gan.evaluation.ranks import SINGLE_PROCESS
from d3gan.evaluation.real_statistics import drawn_from
from d3gan.runs import RunFolder
from d3gan.training.inference import load
from d3gan.training.trainer import train


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_any_number_of_processes_gives_the_same_numbers(
    measured: Config, tmp_path: Path, processes: int
) -> None:
    """150 generated and 200 real images on 2 ranks, and on 3 with other batches."""
    one = train(measured)
    file = written(dataclasses.replace(measured, name="together"), tmp_path)
    result = d3gan("train", file, "--processes", processes)
    assert result.returncode == 0, result.stderr
    measurements = [
        [row for row in run.metrics() if row["kind"] in ("eval", "report")]
        for run in (one, RunFolder(measured.run_dir.with_name("together")))
    ]
    assert [row["step"] for row in measurements[0][:-1]] == [0, 2, 4, 6, 8]
    assert measurements[0][-1]["kind"] == "report"
    for mine, theirs in zip(*measurements, strict=True):
        assert numbers_of(mine) == pytest.approx(numbers_of(theirs), rel=1e-6)
        assert mine["protocol"] == theirs["protocol"]


@pytest.mark.slow
def test_uneven_shards(measured: Config, tmp_path: Path) -> None:
    """151 images on 2 ranks: 75 and 76, each exactly once."""
    run = train(measured)
    arguments = ("evaluate", run.path, "--samples", 151, "--json", "-")
    alone = json.loads(d3gan(*arguments).stdout)
    several = finish(torchrun(*arguments), timeout=200)
    together = json.loads(several.stdout)
    assert numbers_of(alone) == pytest.approx(numbers_of(together), rel=1e-6)
    assert alone["protocol"] == together["protocol"]


def test_the_batch_size_does_not_matter(
    labelled: Path, noise_images: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    images = load_images(DataConfig(str(labelled), resolution=16, channels=3)).images[::-1].copy()
    usual = evaluator(labelled, 200)
    expected = usual.measure(drawn_from(images)).to_dict()
    monkeypatch.setenv("D3GAN_CACHE", str(tmp_path / "another"))
    small = Evaluator.__new__(Evaluator)
    small.__dict__ |= usual.__dict__
    small.features = dataclasses.replace(usual.features, batch_size=17)
    real = load_images(usual.data).images
    small.real = real_statistics.real_statistics(
        small.features, real, usual.real_sha256, 200, SINGLE_PROCESS
    )
    got = small.measure(drawn_from(images)).to_dict()
    assert numbers_of(got) == pytest.approx(numbers_of(expected), rel=1e-5, abs=1e-6)


def test_features_depend_on_the_image_alone(labelled: Path) -> None:
    features: Features = evaluator(labelled).features
    loaded = load_images(DataConfig(str(labelled), resolution=16)).images
    images = torch.from_numpy(loaded[:100].copy())
    together, logits = features(images)
    for k in (0, 41, 99):
        alone, its_logits = features(images[k : k + 1])
        assert torch.equal(alone[0], together[k])
        assert torch.equal(its_logits[0], logits[k])


def test_a_run_and_its_samples_have_the_same_numbers(measured: Config, tmp_path: Path) -> None:
    """What d3gan sample writes is what d3gan evaluate measures."""
    run = train(measured)
    file = tmp_path / "samples.npz"
    np.savez(file, images=load(run.path).sample(150))
    common = ("--features", f"classifier:{measured.data.source}", "--json", "-")
    selection = ("--samples", 150, "--seed", 0, "--draws", 1)  # as d3gan sample by default
    of_run = json.loads(d3gan("evaluate", run.path, *selection, *common).stdout)
    against = ("--against", measured.data.source)
    of_file = json.loads(d3gan("evaluate", file, *against, *common).stdout)
    assert numbers_of(of_file) == numbers_of(of_run)
    check_comparable(of_run["protocol"], of_file["protocol"], ("the run", "the file"))


PLUGINS = """
import numpy as np
import torch

def squares():
    images = np.random.default_rng(0).integers(0, 100, (100, 16, 16, 3), np.uint8)
    images[::2, :8, :8] += 120
    return images, np.arange(100) % 2

class Pixels(torch.nn.Module):
    dimensions = 12

    def forward(self, images):
        return torch.nn.functional.adaptive_avg_pool2d(images / 255, 2).flatten(1), None
"""


@pytest.mark.slow
def test_plugins_measure_the_same_on_two_processes(measured: Config, tmp_path: Path) -> None:
    (tmp_path / "own_things.py").write_text(PLUGINS)
    config = changed(
        measured, data={"source": "own_things:squares"}, eval={"features": "own_things:Pixels"}
    )
    for processes in (1, 2):
        file = written(dataclasses.replace(config, name=f"on-{processes}"), tmp_path)
        command = [sys.executable, "-m", "d3gan", "train", file, "--processes", processes]
        result = finish(start_process(command, folder=tmp_path), timeout=200)
        assert result.returncode == 0, result.stderr
    one, two = (rows(config.run_dir.with_name(f"on-{processes}")) for processes in (1, 2))
    assert len(one) == len(two) == 5
    for mine, theirs in zip(one, two, strict=True):
        assert {"fd", "recall"} < set(mine)
        assert numbers_of(mine) == pytest.approx(numbers_of(theirs), rel=1e-6)
        assert mine["protocol"] == theirs["protocol"]


def test_the_mean_over_draws_has_the_standard_error_of_a_mean(labelled: Path) -> None:
    protocol = evaluator(labelled).protocol(seed=1)
    draws = [Measurement({"fd": Estimate(value, 100.0)}, protocol) for value in (3.0, 4.0, 8.0)]
    mean = mean_over_draws(draws, (1, 2, 3))
    assert mean.numbers["fd"] == pytest.approx((5.0, (7 / 3) ** 0.5))  # variance 7, three draws
    assert mean.to_dict()["seeds"] == [1, 2, 3]
    assert mean.protocol == protocol
    assert mean_over_draws(draws[:1], (1,)).numbers["fd"] == (3.0, 100.0)


def test_no_reported_number_comes_from_the_draw_that_selects() -> None:
    default = EvaluationOptions("run")
    seeds = range(default.seed, default.seed + default.draws)
    assert tuple(seeds) == REPORT_SEEDS
    assert SELECTION_SEED not in seeds
