"""The scaling benchmark: its plan, its calculations, and one real run."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tests.program import d3gan, group, written

from d3gan import config as configs
from d3gan.bench import scaling, worker
from d3gan.bench.scaling import Case
from d3gan.bench.timing import make_trainer
from d3gan.cli.main import main
from d3gan.config import Config
from d3gan.data.cache import load_images
from d3gan.training.distributed import DiscriminatorParallel
from d3gan.training.inference import load
from d3gan.training.trainer import train

CPU = torch.device("cpu")


def planned(config: Config, **changes: Any) -> list[Case]:
    asked: dict[str, Any] = {
        "scalings": ("weak", "strong"),
        "processes": (1, 2, 4),
        "meshes": ("discriminator=2", "data=2,discriminator=2"),
        "backends": ("gloo",),
        "batch_size": 8,
    }
    return scaling.plan({"tiny": config}, **asked | changes)


def test_a_mesh_is_measured_where_it_fits(tiny: Config) -> None:
    cases = planned(tiny)
    assert [(c.scaling, c.processes, c.mesh, c.config.train.batch_size) for c in cases[:7]] == [
        ("weak", 1, "", 8),
        ("weak", 2, "", 16),
        ("weak", 2, "discriminator=2", 16),
        ("weak", 4, "", 32),
        ("weak", 4, "discriminator=2", 32),
        ("weak", 4, "data=2,discriminator=2", 32),
        ("strong", 1, "", 8),
    ]
    assert {c.config.train.batch_size for c in cases[6:]} == {8}
    assert all(c.config.train.mesh == c.mesh for c in cases)
    dcgan = configs.from_dict({"gan": {"discriminators": 1}}, tiny)
    assert not any(c.mesh for c in planned(dcgan))


def test_one_process_has_no_backend(tiny: Config) -> None:
    cases = planned(tiny, meshes=(), scalings=("weak",), backends=("nccl", "gloo"))
    assert [(c.processes, c.backend) for c in cases] == [
        *[(1, ""), (2, "nccl"), (2, "gloo"), (4, "nccl"), (4, "gloo")]
    ]
    assert {c.of_one() for c in cases} == {cases[0].config}


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace the measurements by given seconds per step: together and alone, for each round."""

    def give(*rounds: tuple[float, float]) -> None:
        left = iter(rounds)

        def launched(case: Case, *settings: object) -> dict[str, Any]:
            together, alone = next(left)
            return {
                "together": [together, together, 9.0],
                "silent": [0.75 * together, 0.75 * together, 1.0],
                "alone": [alone, alone, 0.0],
                "start_seconds": 1.0,
                "warm_up_seconds": 2.0,
                "utilisation": 0.5,
                "peak_memory_bytes": 1000 * case.processes,
                "images": 400,
            }

        monkeypatch.setattr(scaling, "_launched", launched)

    return give


def measured(cases: list[Case], rounds: int) -> list[dict[str, Any]]:
    return scaling.measure(cases, rounds=rounds, steps=1, warm_up=1, threads=1)


def test_weak_efficiency_is_relative_to_one_process(
    tiny: Config, made_up: Callable[..., None]
) -> None:
    made_up((1.25, 1.0), (2.0, 2.0), (8.0, 4.0))
    (two,) = measured(planned(tiny, meshes=(), processes=(2,), scalings=("weak",)), 3)
    assert (two["efficiency"], two["efficiency_low"], two["efficiency_high"]) == (0.8, 0.5, 1)
    assert (two["images_per_second"], two["images_per_second_low"]) == (8.0, 2.0)
    assert two["images_per_second_high"] == 12.8
    assert two["epoch_seconds"] == 50
    assert two["ms_per_step"] == 2000
    assert two["exposed_communication_share"] == 0.25
    assert (two["peak_memory_bytes"], two["rounds"], two["backend"]) == (2000, 3, "gloo")


def test_strong_efficiency_is_of_the_same_batch(tiny: Config, made_up: Callable[..., None]) -> None:
    made_up((2.0, 4.0))
    (four,) = measured(planned(tiny, meshes=(), processes=(4,), scalings=("strong",)), 1)
    assert (four["batch_size"], four["images_per_second"]) == (8, 4.0)
    assert four["efficiency"] == 0.5


def test_one_process_is_measured_once_for_both_kinds_of_scaling(
    tiny: Config, made_up: Callable[..., None]
) -> None:
    made_up((2.0, 2.0))
    weak, strong = measured(planned(tiny, meshes=(), processes=(1,)), 1)
    assert weak | {"scaling": "strong"} == strong
    assert (weak["efficiency"], weak["backend"]) == (1, None)


@pytest.mark.parametrize("mesh", [DiscriminatorParallel(1, 1, 2), worker.Silent(1, 1, 2)])
def test_the_timed_steps_are_those_of_training(tiny: Config, mesh: DiscriminatorParallel) -> None:
    engine = make_trainer("d3gan", tiny, load_images(tiny.data), CPU, mesh)
    for _ in range(engine.total):
        engine.step()
    trained = load(train(tiny).path).generator.state_dict()
    assert engine.state.ema is not None
    for name, tensor in engine.state.ema.state_dict().items():
        assert torch.equal(tensor.float(), trained[name].float())


def test_a_silent_process_does_not_communicate(tiny: Config, tmp_path: Path) -> None:
    """Only one of two processes trains; a collective operation would fail after two seconds."""
    code = """
import sys
from pathlib import Path
from d3gan.config_files import load_file
from d3gan.bench.timing import make_trainer
from d3gan.bench.worker import Silent, load_images
from d3gan.training import distributed
config = load_file(Path(sys.argv[1]))
with distributed.process_group("cpu", 2) as device:
    if distributed.is_main():
        for shape in ((2, 1), (1, 2)):
            data = load_images(config.data)
            engine = make_trainer("d3gan", config, data, device, Silent(*shape, 2))
            for _ in range(3):
                losses = engine.step()
            print(len(losses["loss_d_real"]), len(losses["weights"]))
"""
    main, other = group(code, written(tiny, tmp_path))
    assert main.returncode == other.returncode == 0, main.stderr + other.stderr
    assert main.stdout.split() == ["2", "2"] * 2


@pytest.mark.slow
def test_one_real_benchmark(tiny: Config, tmp_path: Path) -> None:
    file = written(dataclasses.replace(tiny, name="tiny"), tmp_path)
    result = d3gan(
        *("bench", "scaling", "--presets", file, "--processes", 1, 2, "--rounds", 1, "--steps", 2),
        *("--warm-up", 1, "--batch-size", 4, "--meshes", "discriminator=2", "--scalings", "weak"),
        *("--device", "cpu"),
        *("--json", tmp_path / "scaling.json", "--plots", tmp_path / "plots"),
    )
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "scaling.json").read_text())
    assert found["environment"]["cpus"] >= 1
    rows = found["rows"]
    assert {row["preset"] for row in rows} == {"tiny"}
    assert [(row["scaling"], row["processes"], row["mesh"]) for row in rows] == [
        *[("weak", 1, ""), ("weak", 2, ""), ("weak", 2, "discriminator=2")],
    ]
    for row in rows:
        assert row["images_per_second"] == pytest.approx(
            1000 * row["batch_size"] / row["ms_per_step"]
        )
        assert row["epoch_seconds"] == pytest.approx(40 / row["images_per_second"])
        assert row["utilisation"] > 0
        assert row["warm_up_seconds"] > 0
        assert row["exposed_communication_share"] < 1
    plots = sorted(path.name for path in (tmp_path / "plots").iterdir())
    quantities = ("epoch-time", "peak-memory", "throughput", "utilisation")
    assert plots == [f"weak-{name}.png" for name in quantities]
    for name in plots:
        with Image.open(tmp_path / "plots" / name) as picture:
            assert picture.size == (780, 540)
    assert all(len(line) <= 80 for line in result.stdout.splitlines())


def test_help_lists_the_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["bench", "--help"])
    assert end.value.code == 0
    words = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line[:2] == "  "]
    assert words == ["step", "data", "scaling"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "write d3gan bench step|data|scaling"),
        (["sca"], "there is no command 'bench sca' (did you mean 'scaling'?); write d3gan bench"),
        (["scaling", "--rounds", "0"], "rounds = 0: must be at least 1"),
        (["scaling", "--processes", "0"], "processes = 0: must be at least 1"),
        (["scaling", "--presets", "cifar"], "there is no preset 'cifar'"),
        (["scaling", "--presets", "demo-dcgan", "demo-dcgan"], "presets: two have the same name"),
        (["scaling", "--meshes", "data=two"], "train.mesh = 'data=two': must be a mesh such as"),
        (["scaling", "--json", "no/such/folder/x.json"], "cannot write JSON to"),
    ],
)
def test_mistakes(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
