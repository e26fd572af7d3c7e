"""Evaluation: the same number however it is computed, and of no influence on training."""

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.program import d3gan, finish, start_process, torchrun, weights, written

from d3gan import config as configs
from d3gan.config import Config, DataConfig
from d3gan.data.cache import load_images
from d3gan.errors import Interrupted, UserError
from d3gan.evaluation import real_statistics
from d3gan.evaluation.evaluator import Evaluator
from d3gan.evaluation.features.extractor import Features
from d3gan.evaluation.protocol import EvaluationProtocol, check_comparable
from d3gan.evaluation.ranks import SINGLE_PROCESS
from d3gan.evaluation.real_statistics import drawn_from
from d3gan.runs import RunFolder
from d3gan.training.inference import checkpoints, load, measure_generator
from d3gan.training.sampling import to_uint8
from d3gan.training.signals import StopRequest
from d3gan.training.state import lay_out
from d3gan.training.trainer import train

CPU = torch.device("cpu")


def evaluator(source: Path, samples: int = 150, **settings: Any) -> Evaluator:
    data = DataConfig(str(source), resolution=16, channels=3)
    defaults: dict[str, Any] = {
        "features": "classifier", "metrics": (), "weights": "", "device": CPU,
    }  # fmt: skip
    return Evaluator(data, load_images(data), samples=samples, **defaults | settings)


def rows(run: Path) -> list[dict[str, Any]]:
    return [row for row in RunFolder(run).metrics() if row["kind"] == "eval"]


def changed(config: Config, **sections: object) -> Config:
    return configs.from_dict(sections, config)


# One number


def numbers_of(row: dict[str, Any]) -> dict[str, float]:
    """The metrics and their errors."""
    other = ("step", "epoch", "images", "train_seconds", "eval_seconds", "best")
    return {key: v for key, v in row.items() if isinstance(v, int | float) and key not in other}


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_any_number_of_processes_gives_the_same_numbers(
    measured: Config, tmp_path: Path, processes: int
) -> None:
    """150 images on 2 ranks, and on 3, where batches are cut elsewhere; real ones are 200."""
    one = rows(train(measured).path)
    file = written(dataclasses.replace(measured, name="together"), tmp_path)
    result = d3gan("train", file, "--processes", processes)
    assert result.returncode == 0, result.stderr
    together = rows(measured.run_dir.with_name("together"))
    assert len(one) == len(together) == 4
    for mine, theirs in zip(one, together, strict=True):
        assert numbers_of(mine) == pytest.approx(numbers_of(theirs), rel=1e-6)
        assert mine["protocol"] == theirs["protocol"]


@pytest.mark.slow
def test_uneven_shards(measured: Config, tmp_path: Path) -> None:
    """151 images on 2 ranks: 75 and 76, none twice and none left out."""
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
    images = to_uint8(2 * load(run.path).sample(150) - 1)
    file = tmp_path / "samples.npz"
    np.savez(file, images=images.transpose(0, 2, 3, 1))
    common = ("--features", f"classifier:{measured.data.source}", "--json", "-")
    of_run = json.loads(d3gan("evaluate", run.path, "--samples", 150, *common).stdout)
    against = ("--against", measured.data.source)
    of_file = json.loads(d3gan("evaluate", file, *against, *common).stdout)
    assert numbers_of(of_file) == numbers_of(of_run)
    check_comparable(of_run["protocol"], of_file["protocol"], ("the run", "the file"))


# The real images


def test_real_statistics_are_computed_once(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator(labelled)  # the classifier
    calls = []

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments[2])
        return collect(*arguments, **options)

    collect = real_statistics.collect
    monkeypatch.setattr(real_statistics, "collect", counted)
    first = evaluator(labelled, 137).real
    again = evaluator(labelled, 137).real
    assert calls == [137], "sums were there; the features of 137 images are new"
    assert torch.equal(first.rows, again.rows)
    assert torch.equal(first.moments.products, again.moments.products)
    evaluator(labelled, 139)
    assert calls == [137, 139]


def test_programs_that_start_together_compute_them_once(measured: Config, tmp_path: Path) -> None:
    run = train(measured)
    cache = {"D3GAN_CACHE": str(tmp_path / "fresh")}
    code = (
        "import sys; from d3gan.evaluation import real_statistics as r; collect = r.collect\n"
        "def counted(*a, **k): print('computed', flush=True); return collect(*a, **k)\n"
        "r.collect = counted\n"
        "from d3gan.evaluation.features import classifier_cache as c; t = c._trained\n"
        "def trained(*a): print('trained', flush=True); return t(*a)\n"
        "c._trained = trained\n"
        "c.RECIPES = {3: c.Recipe(width=4, epochs=1.0, least_images=0)}\n"
        "from d3gan.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    programs = [
        start_process([sys.executable, "-c", code, "evaluate", run.path, "--samples", 150], **cache)
        for _ in range(3)
    ]
    outputs = [program.communicate(timeout=200) for program in programs]
    assert [program.returncode for program in programs] == [0, 0, 0], outputs
    said = "".join(output for output, _ in outputs)
    assert said.count("trained") == 1
    assert said.count("computed") == 2 + 3, "real images' sums and features; three times generated"
    tables = {output.partition(" metric")[2] for output, _ in outputs}
    assert len(tables) == 1


# The contract


def test_the_contract_is_stored_with_every_number(measured: Config) -> None:
    run = train(measured)
    for row in rows(run.path):
        contract = row["protocol"]
        assert set(contract) == {field.name for field in dataclasses.fields(EvaluationProtocol)}
        assert contract["features"] == f"classifier:{measured.data.source}"
        assert contract["test_accuracy"] > 0.9
        assert len(contract["weights_sha256"]) == len(contract["real_sha256"]) == 64
        assert (contract["real_images"], contract["generated_images"]) == (200, 150)
        assert (contract["seed"], contract["ema"]) == (0, True)


@pytest.mark.parametrize("key", [field.name for field in dataclasses.fields(EvaluationProtocol)])
def test_other_contracts_are_not_compared(key: str) -> None:
    one = EvaluationProtocol(
        "f", "w", 0.9, "none", 32, 1, "s", "train", 100, "r", 50, 0, True
    ).to_dict()
    other = one | {key: "something else"}
    check_comparable(one, dict(one), ("a", "b"))
    if key in ("test_accuracy", "real_source", "real_split"):
        check_comparable(one, other, ("a", "b"))  # the hash beside them decides
        return
    with pytest.raises(UserError, match=rf"a and b cannot be compared: .* differ in {key}"):
        check_comparable(one, other, ("a", "b"))


# During training


def test_evaluation_does_not_change_training(measured: Config) -> None:
    with_it = weights(train(measured).path)
    without = train(changed(measured, name="without", eval={"every_epochs": 0.0}))
    assert not rows(without.path)
    for name, tensor in weights(without.path).items():
        assert torch.equal(tensor, with_it[name]), name


@pytest.mark.slow
def test_nor_does_it_with_two_processes_and_batch_norm(measured: Config, tmp_path: Path) -> None:
    """Running statistics differ between the ranks, and are averaged for the evaluation alone."""
    norm = {"model": {"generator_norm": "batch"}}
    for name, every in (("with", 0.5), ("without", 0.0)):
        config = dataclasses.replace(measured, name=name)
        file = written(config, tmp_path, eval={"every_epochs": every}, **norm)
        assert d3gan("train", file, "--processes", 2).returncode == 0
    one, other = (weights(measured.run_dir.with_name(name)) for name in ("with", "without"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_bf16_is_evaluated_in_float32_as_it_is_saved(measured: Config) -> None:
    config = changed(measured, train={"precision": "bf16"}, optim={"ema_half_life_images": 0.0})
    run = train(config)
    trained = load(run.path)
    lay_out(trained.generator, torch.device("cpu"))  # so that sums are added up in the same order
    again = measure_generator(
        evaluator(Path(config.data.source)), trained.generator, config.model.latent_dim, ema=False
    )
    assert rows(run.path)[-1]["fd"] == again.to_dict()["fd"]


def test_the_clock_stands_still(measured: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = Evaluator.measure

    def slow(self: Evaluator, *arguments: Any, **options: Any) -> Any:
        time.sleep(3)
        return measure(self, *arguments, **options)

    monkeypatch.setattr(Evaluator, "measure", slow)
    run = train(changed(measured, eval={"every_epochs": 1.0}))
    assert all(row["eval_seconds"] > 3 for row in rows(run.path))
    assert run.metrics()[-1]["train_seconds"] < 3


def test_the_best_checkpoint_is_the_best(measured: Config) -> None:
    run = train(changed(measured, eval={"monitor": "kid"}, checkpoint={"keep": 1}))
    evaluations = rows(run.path)
    best = min(evaluations, key=lambda row: row["kid"])
    assert [row["best"] for row in evaluations] == [
        row["kid"] == min(earlier["kid"] for earlier in evaluations[: k + 1])
        for k, row in enumerate(evaluations)
    ]
    trained = load(run.path, "best")
    assert trained.step == best["step"]
    again_by = evaluator(Path(measured.data.source))
    again = measure_generator(again_by, trained.generator, measured.model.latent_dim, ema=True)
    assert again.to_dict()["kid"] == pytest.approx(best["kid"], rel=1e-4)
    assert checkpoints(run.path) in (["8"], ["best", "8"])


def test_a_run_that_is_continued_knows_its_best(measured: Config) -> None:
    whole = train(changed(measured, name="whole"))
    train(changed(measured, train={"epochs": 1.0}))
    run = train(measured, resume=True)
    assert [numbers_of(row) for row in rows(run.path)] == [
        numbers_of(row) for row in rows(whole.path)
    ]
    assert [row["best"] for row in rows(run.path)] == [row["best"] for row in rows(whole.path)]


def test_patience(measured: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """With learning rates of nearly 0 nothing improves after the first evaluation."""
    config = changed(
        measured,
        optim={"lr_g": 1e-12, "lr_d": 1e-12},
        train={"epochs": 50.0},
        eval={"patience": 3, "monitor": "kid"},
    )
    run = train(config)
    said = capsys.readouterr().err
    assert [row["step"] for row in rows(run.path)] == [2, 4, 6, 8]
    assert "stopped early at step 8 of 200, which saves 9,600 images: kid has not improved" in said
    assert load(run.path).step == 8
    assert run.sample_file(8).exists()
    train(config, resume=True)
    assert "stopped early at step 8 of 200" in capsys.readouterr().err
    assert len(rows(run.path)) == 4
    longer = changed(config, eval={"patience": 4})
    train(longer, resume=True)
    assert [row["step"] for row in rows(run.path)] == [2, 4, 6, 8, 10]


def test_a_change_of_contract_within_a_run_is_an_error(measured: Config) -> None:
    train(changed(measured, train={"epochs": 1.0}))
    fewer = changed(measured, eval={"samples": 140})
    with pytest.raises(UserError, match=r"by the config as it is now .* in generated_images"):
        train(fewer, resume=True)
    assert RunFolder(measured.run_dir).metrics()[-1]["step"] == 4, "before the first step"
    without = changed(fewer, eval={"every_epochs": 0.0})
    assert train(without, resume=True).metrics()[-1]["step"] == 8


def flipped(file: Path) -> None:
    """One bit of a tensor changed: the middle of the largest record."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x40
    file.write_bytes(bytes(data))


def test_a_damaged_cache_is_computed_anew(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_classifier: None
) -> None:
    cache = tmp_path / "own"
    monkeypatch.setenv("D3GAN_CACHE", str(cache))
    expected = evaluator(labelled).real
    for damage in (flipped, lambda file: torch.save({}, file)):
        for file in [*cache.glob("statistics/*.pt"), *cache.glob("classifiers/*.pt")]:
            damage(file)  # type: ignore[no-untyped-call]
        again = evaluator(labelled).real
        assert torch.equal(again.moments.products, expected.moments.products)
        assert torch.equal(again.rows, expected.rows)


def test_an_evaluation_that_a_stop_prevented_is_made_up_for(
    measured: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped at step 4, and at the last step, where evaluations were due."""
    whole = train(changed(measured, name="whole"))
    for stop in (4, 8):
        config = changed(measured, name=f"stopped-{stop}")
        agreed = StopRequest.agreed
        monkeypatch.setattr(
            StopRequest, "agreed", lambda self, step, stop=stop: 2 if step == stop else 0
        )
        with pytest.raises(Interrupted):
            train(config)
        monkeypatch.setattr(StopRequest, "agreed", agreed)
        run = train(config, resume=True)
        assert [numbers_of(row) for row in rows(run.path)] == [
            numbers_of(row) for row in rows(whole.path)
        ]


def test_a_best_checkpoint_that_is_gone(
    measured: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    half = changed(measured, train={"epochs": 1.0})
    run = train(half)
    run.best_file.unlink()
    train(measured, resume=True)
    assert "best.pt is missing or broken" in capsys.readouterr().err
    assert load(run.path, "best").step in (6, 8)


def test_metrics_that_are_gone_do_not_cost_the_best_checkpoint(measured: Config) -> None:
    run = train(changed(measured, train={"epochs": 1.0}))
    saved = torch.load(run.best_file, weights_only=True)
    saved["evaluation"]["fd"] = 1e-9  # nothing will be better
    torch.save(saved, run.best_file)
    run.metrics_file.unlink()
    train(measured, resume=True)
    assert load(run.path, "best").step == saved["step"]


def test_a_damaged_evaluation_row(measured: Config) -> None:
    run = train(changed(measured, train={"epochs": 1.0}))
    text = run.metrics_file.read_text()
    for key in ("protocol", "fd"):
        run.metrics_file.write_text(text.replace(f'"{key}":', '"other":'))
        with pytest.raises(UserError, match=f"lacks '{key}'; mend or remove its line"):
            train(measured, resume=True)
