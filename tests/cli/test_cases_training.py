"""What `d3gan train` says before, during and after training, from outside."""

from pathlib import Path

import pytest
from tests.cli.cases import Case, check

WIDTH = ("--model.discriminator-width", "22", "--model.discriminator-norm", "group")

SMALL = (
    *("--model.generator-width", "4", "--model.discriminator-width", "4"),
    *("--eval.every-epochs", "0", "--train.epochs", "0.05"),
)

CASES = [
    Case(
        "group norm whose channels do not divide",
        ("train", "demo-d3gan", *WIDTH, "--data.source", "no-such-data"),
        "d3gan: error: model.discriminator_width = 22, model.discriminator_norm = 'group': group "
        "norm cannot divide a layer of 44 channels into 5 equal groups; choose a width that is a "
        "multiple of 8",
        absent=("no-such-data",),
    ),
    Case(
        "learning rate far out of the usual range",
        ("train", "demo-d3gan", "--optim.lr-g", "10", "--data.source", "no-such-data"),
        "optim.lr_g = 10 is outside the usual range (1e-06 to 0.01); training may diverge",
    ),
    Case(
        "quiet: no remarks, only the error",
        ("train", "demo-d3gan", "--optim.lr-g", "10", "-q", "--data.source", "no-such-data"),
        "d3gan: error: ",
        absent=("warning",),
    ),
    Case(
        "the flags of train in compare: numbers, switches and lists",
        ("compare", "--methods", "demo-dcgan", "--train.epochs", "4", "--data.flip",
         "--eval.metrics", "fd", "precision", "--seeds", "0", "--dry-run"),
        "demo-dcgan-seed-0",
        status=0,
    ),
    Case(
        "the older spelling of flags in compare",
        ("compare", "--methods", "demo-dcgan", "--set", "train.epochs", "4"),
        "d3gan: error: --set KEY VALUE: write --KEY VALUE, for example --train.epochs 4",
    ),
    pytest.param(
        Case(
            "two processes: no warning of torch on strides",
            ("train", "demo-d3gan", *SMALL, "--processes", "2"),
            "d3gan: demo-d3gan: no sign of divergence in its losses and samples; it was not "
            "evaluated",
            status=0,
            absent=("strides", "Warning"),
        ),
        marks=pytest.mark.slow,
    ),
    pytest.param(
        Case(
            "quiet: the run's folder and the line on its health",
            ("train", "demo-d3gan", *SMALL, "--quiet"),
            "runs/demo-d3gan",
            status=0,
            absent=("kernels", "images/s", "warning"),
        ),
        marks=pytest.mark.slow,
    ),
    pytest.param(
        Case(
            "losses that explode",
            ("train", "demo-d3gan", *SMALL, "--optim.lr-g", "10", "--optim.lr-d", "10",
             "--gan.penalties", "--train.log-every-steps", "1"),
            "d3gan: warning: the losses have exploded: ",
            status=0,
        ),
        marks=pytest.mark.slow,
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_says_what_is_wrong(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
