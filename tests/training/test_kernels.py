"""The kernels of a run are chosen once, stored, and used again, whatever is faster later."""

import json
from pathlib import Path

import pytest
import torch
from tests.program import d3gan, weights, written
from torch import nn

from d3gan import config as configs
from d3gan.acceleration import autotune
from d3gan.acceleration.convolutions import KERNELS, LIBRARY, convolutions, kernel_of
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.runs import RunFolder
from d3gan.training import kernels
from d3gan.training.distributed import DiscriminatorParallel
from d3gan.training.kernels import choose_kernels
from d3gan.training.state import State, make_state
from d3gan.training.trainer import train

CPU = torch.device("cpu")


def prefer(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Make the first of these kernels that a layer has the fastest one in all measurements."""

    def measured(wanted: dict[str, object], cache: Path) -> dict[str, dict[str, float]]:
        order = {name: 1 + place for place, name in enumerate(names)}
        every = [*KERNELS, "one", "two"]
        return {key: {name: order.get(name, 9.0) for name in every} for key in wanted}

    monkeypatch.setattr(autotune, "measured", measured)
    monkeypatch.setattr(autotune, "best", _allowed)


def _allowed(seconds: dict[str, float], default: str) -> str:
    names = ("one", "two") if default == "two" else (LIBRARY, "contiguous")
    return min(names, key=lambda name: seconds[name])


def used(network: nn.Module) -> set[str]:
    return {kernel_of(module) for module in convolutions(network).values()}


def small(config: Config, **train: object) -> tuple[Config, State]:
    config = configs.from_dict({"train": {"precision": "fp32", **train}}, config)
    return config, make_state(config, CPU)


def test_every_convolution_gets_a_kernel(
    tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "is_verbose", lambda: True)
    config, state = small(tiny)
    found, line = kernels.measure(config, state, tmp_path)
    of_generator = {name: kernel_of(m) for name, m in convolutions(state.generator).items()}
    of_discriminators = {
        f"{k}.{name}": kernel_of(m)
        for k, member in enumerate(state.discriminators.members)
        for name, m in convolutions(member).items()
    }
    assert of_generator == found.generator
    assert of_discriminators == found.discriminators
    assert of_generator
    assert of_discriminators
    count = len(found.generator) + len(found.discriminators)
    assert f" {count} convolutions" in line


@pytest.mark.parametrize(
    ("seconds", "line"),
    [
        ((1.0, 0.8, 0.7), "im2col is faster for 2, contiguous for 1 of 4 "
         "convolutions: 20 % less time for all of them (--train.autotune off: torch's own "
         "kernels)"),
        ((1.0, 0.99, 0.98), ""),
    ],
)  # fmt: skip
def test_kernels_are_mentioned_if_they_gain_much(
    seconds: tuple[float, float, float], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = dict(zip((LIBRARY, "contiguous", "im2col"), seconds, strict=True))
    chosen = [(name, times) for name in (LIBRARY, "im2col", "contiguous", "im2col")]
    assert kernels._sentence(chosen) == line
    monkeypatch.setattr(kernels, "is_verbose", lambda: True)
    assert kernels._sentence(chosen)
    assert kernels._sentence([(LIBRARY, times)] * 4) == (
        "torch's own are the fastest for all 4 convolutions"
    )


@pytest.mark.parametrize("key", [{"autotune": "off"}, {"deterministic": True}])
def test_it_can_be_switched_off(
    tiny: Config, monkeypatch: pytest.MonkeyPatch, key: dict[str, object]
) -> None:
    prefer(monkeypatch, "contiguous", "one")
    config, state = small(tiny, **key)
    choose_kernels(config, state)
    assert used(state.generator) | used(state.discriminators) == {LIBRARY}
    assert not state.discriminators.join


def test_the_average_and_the_generator_have_the_same_kernels(
    tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefer(monkeypatch, "contiguous", "one")
    ema = configs.from_dict({"optim": {"ema_half_life_images": 100.0}}, tiny)
    config, state = small(ema)
    choose_kernels(config, state)
    assert state.ema is not None
    assert used(state.generator) == used(state.ema) == used(state.discriminators) == {"contiguous"}
    assert state.discriminators.join


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_resumed_run_ends_with_the_same_bits_where_other_kernels_are_faster(
    tiny: Config, monkeypatch: pytest.MonkeyPatch, precision: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def run(name: str, epochs: float, *, resume: bool = False) -> RunFolder:
        keys = {"precision": precision, "epochs": epochs}
        return train(configs.from_dict({"name": name, "train": keys}, tiny), resume=resume)

    prefer(monkeypatch, "contiguous", "one")
    whole, half = run("whole", 2.0), run("half", 1.0)
    assert "  kernels  " in capfd.readouterr().err
    prefer(monkeypatch, LIBRARY, "two")
    resumed = run("half", 2.0, resume=True)
    assert "kernels" not in capfd.readouterr().err
    assert json.loads(half.kernels_file.read_text())["join"]
    one, other = weights(resumed.path), weights(whole.path)
    assert all(torch.equal(one[name], other[name]) for name in other)
    # The other kernels would have given other bits, so that the test can fail.
    library = weights(run("library", 2.0).path)
    assert any(not torch.equal(library[name], other[name]) for name in other)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("{", "cannot be read"),
        ("[1]", "cannot be read"),
        ('{"generator": {"layers.0": "winograd"}}', "cannot compute a convolution with"),
    ],
)
def test_a_damaged_choice_is_reported(
    tiny: Config, tmp_path: Path, content: str, line: str
) -> None:
    config, state = small(tiny)
    run = RunFolder(tmp_path)
    run.kernels_file.write_text(content)
    with pytest.raises(UserError, match=line):
        choose_kernels(config, state, run)


def test_each_process_of_a_mesh_has_the_kernels_of_its_discriminators(tiny: Config) -> None:
    """The main one has chosen for all, and the others hold other networks."""
    members = {"gan": {"members": ["dcgan", "dcgan(norm='none')", "dcgan(stages=2)"]}}
    config = configs.validate(configs.from_dict(members, tiny))
    whole = make_state(config, CPU)
    names = {
        f"{k}.{name}": "contiguous" if k == 2 else "im2col"
        for k, member in enumerate(whole.discriminators.members)
        for name in convolutions(member)
    }
    state = make_state(config, CPU, LastShare(1, 2, 3))
    kernels.Kernels(discriminators=names).apply(state)
    assert [used(member) for member in state.discriminators.members] == [{"im2col"}, {"contiguous"}]


class LastShare(DiscriminatorParallel):
    """The second process of a mesh, which has the discriminators 1 and 2 of 3."""

    def members(self) -> range:
        return range(1, 3)


@pytest.mark.slow
def test_two_processes_choose_once(tiny: Config, tmp_path: Path) -> None:
    file = written(tiny, tmp_path, train={"precision": "fp32"})
    done = d3gan("train", file, "--processes", 2, "-v")
    assert done.returncode == 0
    assert done.stderr.count("  kernels  ") == 1
    assert (tiny.run_dir / "kernels.json").is_file()
