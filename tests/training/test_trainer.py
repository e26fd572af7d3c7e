"""Training as a function of its config, in one process."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.program import chosen, weights
from tests.scheduled import SCHEDULED

from d3gan import config as configs
from d3gan import config_files
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.evaluation.metrics.names import metric_names
from d3gan.gan.aggregation import AGGREGATIONS
from d3gan.networks import ARCHITECTURES
from d3gan.runs import RunFolder
from d3gan.training import preparation
from d3gan.training.checkpoint import write_checkpoint
from d3gan.training.trainer import train


def changed(config: Config, **sections: object) -> Config:
    return configs.from_dict(sections, config)


def picture(file: Path) -> np.ndarray:
    with Image.open(file) as opened:
        return np.asarray(opened)


def test_a_run_leaves_every_file(tiny: Config) -> None:
    run = train(tiny)
    assert run.path == tiny.run_dir
    assert config_files.load_file(run.config_file) == tiny
    (session,) = json.loads(run.environment_file.read_text())
    assert session["packages"]["torch"] == torch.__version__
    assert session["processes"] == 1
    assert [file.name for file in sorted(run.samples.iterdir())] == [
        "step-00000000.png", "step-00000005.png", "step-00000010.png",
    ]  # fmt: skip
    assert picture(run.sample_file(10)).shape == (38, 38, 3)  # 2 x 2 images of 16, gaps of 2
    assert [file.name for file in sorted(run.checkpoints.iterdir())] == [
        "step-00000005.pt", "step-00000010.pt",
    ]  # fmt: skip
    assert len(list(run.path.glob("events.out.tfevents.*"))) == 1
    assert not list(run.path.rglob("*.tmp"))


def test_rows_of_metrics_have_all_keys(tiny: Config) -> None:
    rows = train(changed(tiny, gan={"r1_gamma": 0.5})).metrics()
    assert [row["step"] for row in rows] == [3, 5, 6, 9, 10]
    for row, before in zip(rows, [None, *rows], strict=False):
        assert row["kind"] == "train"
        assert row["images"] == 8 * row["step"]
        assert row["epoch"] == row["images"] / 40
        assert len(row["loss_d"]) == len(row["loss_d_real"]) == len(row["loss_d_fake"]) == 2
        assert row["loss_d"] == pytest.approx(np.add(row["loss_d_real"], row["loss_d_fake"]))
        assert min(row["r1"]) > 0
        assert row["peak_memory_bytes"] is None or row["peak_memory_bytes"] > 1e7
        assert 0 < row["utilisation"] < 1.5
        assert len(row["chosen"]) == row["step"] - (before["step"] if before else 0)
        assert row["weights"][1] == pytest.approx(np.mean(row["chosen"]))
        assert row["train_seconds"] > (before["train_seconds"] if before else 0)
        assert row["images_per_second"] > 0


def test_the_documentation_names_every_file_and_key(measured: Config) -> None:
    text = (Path(__file__).parents[2] / "docs" / "run-folder.md").read_text(encoding="utf-8")
    files, status, rows, evaluations, report, _, checkpoint, *_ = text.split("\n## ")
    run = train(measured)
    documented = {
        kind: set(re.findall(r"`(\w+)`", "".join(re.findall(r"\n\|(.*?)\|", part))))
        for kind, part in (("train", rows), ("eval", evaluations), ("report", report))
    }
    unconditional = set(metric_names("classifier")) - {"label_agreement"}
    for kind in ("eval", "report"):
        documented[kind] |= unconditional | {f"{key}_stderr" for key in unconditional}
    kinds = {row["kind"] for row in run.metrics()}
    assert kinds == {"train", "eval", "report"}
    for row in run.metrics():
        assert set(row) == documented[row["kind"]]
    for file in [*run.path.iterdir(), run.best_file]:
        assert f"{file.name.partition('.tfevents')[0]}" in files
    saved = torch.load(run.checkpoint_file(8), weights_only=True)
    assert all(f"`{key}`" in checkpoint for key in saved)
    assert all(f"`{key}`" in status for key in json.loads(run.status_file.read_text("utf-8")))


def test_a_rule_that_mixes_has_no_chosen_discriminator(tiny: Config) -> None:
    rows = train(changed(tiny, gan={"aggregation": "softmax(temperature=2)"})).metrics()
    assert all(row["chosen"] is None for row in rows)
    assert all(sum(row["weights"]) == pytest.approx(1) for row in rows)


def test_golden_losses(tiny: Config) -> None:
    """A change of numerics must be intended and recorded in the changelog."""
    rows = train(changed(tiny, gan={"r1_gamma": 0.5}, data={"flip": True})).metrics()
    losses = [[row["loss_g"], *row["loss_d"], *row["r1"]] for row in rows[:2]]
    assert losses == [pytest.approx(row, rel=1e-9) for row in GOLDEN]
    assert chosen(tiny.run_dir) == GOLDEN_CHOSEN


GOLDEN = [
    [
        0.7325922089782848,
        1.41317620729512,
        1.359505019164354,
        0.024032276122928898,
        0.014372287362507568,
    ],
    [
        0.7401874949510099,
        1.3912164105347526,
        1.3363016980186007,
        0.021450861887456627,
        0.012242827960385052,
    ],
]
GOLDEN_CHOSEN = [0, 0, 0, 0, 0, 1, 0, 0, 1, 0]


def test_training_is_a_function_of_the_config(tiny: Config) -> None:
    first = weights(train(tiny).path)
    again = weights(train(changed(tiny, name="again")).path)
    other = weights(train(changed(tiny, name="other", seed=1)).path)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if "weight" in name)


def test_samples_checkpoints_and_logging_do_not_change_training(tiny: Config) -> None:
    quiet = weights(train(tiny).path)
    busy = changed(
        tiny,
        name="busy",
        train={"log_every_steps": 1},
        samples={"every_epochs": 0.2, "count": 9},
        checkpoint={"every_epochs": 0.2, "keep": 1},
        data={"resident": "never"},
    )
    assert all(
        torch.equal(tensor, quiet[name]) for name, tensor in weights(train(busy).path).items()
    )


def test_an_extended_run_continues_where_it_ended(tiny: Config) -> None:
    uninterrupted = train(changed(tiny, name="uninterrupted"))
    short = changed(tiny, train={"epochs": 1.0})
    train(short)
    run = train(tiny, resume=True)
    one, other = weights(run.path), weights(uninterrupted.path)
    assert all(torch.equal(one[name], other[name]) for name in other)
    assert chosen(run.path) == chosen(uninterrupted.path)
    assert len(run.sessions()) == 2
    seconds = [row["train_seconds"] for row in run.metrics()]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_resumes_bit_for_bit(tiny: Config, architecture: str) -> None:
    model = {"architecture": architecture, "conditional": True, "generator_norm": "batch"}
    tiny = changed(tiny, model=model, gan={"discriminators": 2, "aggregation": "mean"})
    run = train(tiny)
    uninterrupted = weights(run.path)
    run.checkpoint_file(10).unlink()
    resumed = weights(train(tiny, resume=True).path)
    assert all(torch.equal(resumed[name], uninterrupted[name]) for name in uninterrupted)


@pytest.mark.parametrize("step", [1, 5])
def test_a_run_resumes_in_the_middle_of_every_schedule(tiny: Config, step: int) -> None:
    """After one step schedules warm up; after five they rise, fall or hold."""
    config = changed(tiny, checkpoint={"every_epochs": 0.2, "keep": 10}, **SCHEDULED)
    run = train(config)
    uninterrupted = torch.load(run.checkpoint_file(10), weights_only=True)
    for later in range(step + 1, 11):
        run.checkpoint_file(later).unlink()
    train(config, resume=True)
    resumed = torch.load(run.checkpoint_file(10), weights_only=True)
    for part in ("generator", "discriminators", "ema"):
        for name, tensor in uninterrupted[part].items():
            assert torch.equal(resumed[part][name], tensor), (part, name)
    for part in ("optimizer_g", "optimizer_d"):
        assert resumed[part]["param_groups"] == uninterrupted[part]["param_groups"]


def test_a_run_without_checkpoints_restarts(tiny: Config) -> None:
    uninterrupted = weights(train(changed(tiny, name="uninterrupted")).path)
    run = train(tiny)
    for file in run.checkpoints.iterdir():
        file.unlink()
    train(tiny, resume=True)
    assert all(
        torch.equal(tensor, uninterrupted[name]) for name, tensor in weights(run.path).items()
    )
    assert [row["step"] for row in run.metrics()] == [3, 5, 6, 9, 10]


def test_a_broken_newest_checkpoint_is_skipped(
    tiny: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(tiny)
    good = weights(run.path)
    newest = run.checkpoint_file(10)
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1  # one bit
    newest.write_bytes(data)
    train(tiny, resume=True)
    assert f"warning: broken checkpoint {newest}" in capsys.readouterr().err
    assert all(torch.equal(tensor, good[name]) for name, tensor in weights(run.path).items())
    assert [row["step"] for row in run.metrics()] == [3, 5, 6, 9, 10]


def test_only_the_newest_checkpoints_are_kept(tiny: Config) -> None:
    run = train(changed(tiny, checkpoint={"every_epochs": 0.2, "keep": 2}))
    assert [file.name for file in sorted(run.checkpoints.iterdir())] == [
        "step-00000009.pt", "step-00000010.pt",
    ]  # fmt: skip


@pytest.mark.parametrize("rule", AGGREGATIONS)
def test_every_rule_trains_and_resumes_bit_for_bit(tiny: Config, rule: str) -> None:
    config = changed(tiny, gan={"aggregation": rule, "discriminators": 3})
    run = train(config)
    assert len(run.metrics()[-1]["weights"]) == 3
    uninterrupted, whole = weights(run.path), run.checkpoint_file(10).rename(run.path / "whole.pt")
    resumed = weights(train(config, resume=True).path)
    assert all(torch.equal(resumed[name], uninterrupted[name]) for name in uninterrupted)
    mine, theirs = (
        torch.load(file, weights_only=True)["aggregation"]
        for file in (run.checkpoint_file(10), whole)
    )
    assert set(mine) == set(AGGREGATIONS.build(rule).initial_state(3))
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("rule", ["softmax", "adaptive"])
def test_a_checkpoint_without_the_state_of_its_rule(tiny: Config, rule: str) -> None:
    """Checkpoints of older versions have none; a rule that learns cannot do without."""
    config = changed(tiny, gan={"aggregation": rule})
    run = train(changed(config, train={"epochs": 1.0}))
    older = torch.load(run.checkpoint_file(5), weights_only=True)
    del older["aggregation"]
    write_checkpoint(run.checkpoint_file(5), older)
    if rule == "softmax":
        train(config, resume=True)
    else:
        with pytest.raises(UserError, match=r"aggregation rule has the state {}, and .*'q': \(2,"):
            train(config, resume=True)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_other_precisions_stay_close_for_the_first_steps(tiny: Config, precision: str) -> None:
    exact, rough = (
        train(
            changed(
                tiny,
                name=name,
                train={"precision": name, "log_every_steps": 1},
                gan={"r1_gamma": 0.5},
            )
        ).metrics()
        for name in ("fp64", precision)
    )
    tolerance = {"fp32": 1e-5, "bf16": 0.05}[precision]
    for one, other in zip(exact[:3], rough[:3], strict=True):
        assert one["loss_d"] == pytest.approx(other["loss_d"], rel=tolerance)
        assert one["loss_g"] == pytest.approx(other["loss_g"], rel=tolerance)


def test_learning_rates_follow_the_schedule(tiny: Config) -> None:
    decayed = weights(train(changed(tiny, optim={"schedule": "linear_decay(start=0)"})).path)
    constant = weights(train(changed(tiny, name="constant")).path)
    assert not any(torch.equal(decayed[n], constant[n]) for n in constant if "weight" in n)


def test_samples_come_from_the_ema_if_there_is_one(tiny: Config) -> None:
    with_average = train(tiny)
    without = train(changed(tiny, name="plain", optim={"ema_half_life_images": 0.0}))
    one, other = (picture(run.sample_file(10)) for run in (with_average, without))
    assert not np.array_equal(one, other)
    assert "ema" not in torch.load(without.checkpoint_file(10), weights_only=True)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(tiny: Config) -> None:
    run = train(changed(tiny, train={"epochs": 1.0}))
    broken = torch.load(run.checkpoint_file(5), weights_only=True)
    broken["optimizer_g"]["param_groups"][0]["lr"] = 1.0
    broken["optimizer_d"]["state"][0]["exp_avg"].fill_(float("inf"))  # the next step's update
    torch.save(broken, run.checkpoint_file(5))
    with pytest.raises(
        UserError, match=r"not finite .*diverged; the last good checkpoint is .*0005"
    ):
        train(tiny, resume=True)
    assert [file.name for file in run.checkpoints.iterdir()] == ["step-00000005.pt"]
    *rows, last = run.metrics()
    for row in rows:
        assert np.isfinite(row["loss_g"])
    assert last["kind"] == "diverged"
    # The generator may not face the broken discriminator before its losses of the step after.
    assert (last["step"], last["images"]) in ((6, 48), (7, 56))
    assert last["what"].startswith(("loss not finite", "weights not finite"))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_config_says_what_auto_became(
    tiny: Config, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], precision: str
) -> None:
    monkeypatch.setattr(preparation, "chosen_precision", lambda _: (precision, "for a reason"))
    run = train(changed(tiny, train={"precision": "auto", "epochs": 1.0}))
    assert run.config()["train"]["precision"] == precision
    line = f"d3gan: train.precision = {precision}: for a reason"
    assert line in capfd.readouterr().err.splitlines()
    train(changed(tiny, train={"precision": precision}), resume=True)  # on any machine


def test_losses_of_discriminators_that_were_never_faced_are_null(tiny: Config) -> None:
    run = train(changed(tiny, train={"log_every_steps": 1}))
    rows = [row for row in run.metrics() if row["kind"] == "train"]
    for row in rows:
        faced = [loss is not None for loss in row["loss_g_adversarial"]]
        assert faced == [weight == 1 for weight in row["weights"]]
    assert json.loads(run.metrics_file.read_text().splitlines()[0]) == run.metrics()[0]


def test_each_update_of_the_discriminators_takes_a_batch(tiny: Config) -> None:
    run = train(changed(tiny, gan={"discriminator_steps": 2}))
    last = run.metrics()[-1]
    assert (last["step"], last["images"], last["epoch"]) == (5, 80, 2.0)


def test_a_run_is_not_overwritten(tiny: Config) -> None:
    run = train(tiny)
    before = run.metrics_file.read_bytes()
    with pytest.raises(UserError, match=r"there is a run at .* continue it with `d3gan train"):
        train(tiny)
    assert run.metrics_file.read_bytes() == before


def test_a_run_that_another_process_writes_is_refused(tiny: Config) -> None:
    run = train(tiny)
    with run.locked(), pytest.raises(UserError, match="another process is writing the run"):
        train(tiny, resume=True)


def test_a_run_that_cannot_start_leaves_nothing(tiny: Config) -> None:
    wrong = changed(tiny, data={"source": "no-such-source"})
    with pytest.raises(UserError, match="no data source"):
        train(wrong)
    assert not tiny.run_dir.exists()


def test_changed_images_are_refused(tiny: Config, noise_images: Path) -> None:
    train(tiny)
    np.savez(noise_images, images=np.zeros((40, 16, 16, 3), np.uint8))
    with pytest.raises(UserError, match="not the images that the run"):
        train(tiny, resume=True)


def test_steps_are_rounded_up_to_cover_the_epochs(tiny: Config) -> None:
    config = dataclasses.replace(
        tiny, train=dataclasses.replace(tiny.train, batch_size=7, epochs=1.5)
    )
    assert config.total_steps(40) == 9  # 60 images in batches of 7


def test_a_truncated_last_line_of_metrics_is_ignored(tiny: Config) -> None:
    run = RunFolder(tiny.run_dir)
    train(tiny)
    text = run.metrics_file.read_text()
    run.metrics_file.write_text(text + '{"kind": "tra')
    assert len(run.metrics()) == 5
