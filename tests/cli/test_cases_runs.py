"""Run folders, checkpoints, exports and files of users: what is refused, and with which line."""

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.cli.cases import Case, check

from d3gan import config as configs
from d3gan.training.trainer import train

TEMPLATE: list[Path] = []
"""The folder of `trained`."""


@pytest.fixture(scope="module", autouse=True)
def _template(tmp_path_factory: pytest.TempPathFactory) -> None:
    TEMPLATE.append(tmp_path_factory.mktemp("cases"))


@cache
def trained() -> Path:
    """Return a folder with the data noise.npz and the finished run runs/a, of 4 steps."""
    folder = TEMPLATE[-1]
    rng = np.random.default_rng(0)
    np.savez(folder / "noise.npz", images=rng.integers(0, 256, (40, 16, 16, 3), np.uint8))
    sizes = {"latent_dim": 8, "generator_width": 4, "discriminator_width": 4}
    train(
        configs.from_dict(
            {
                "name": "a",
                "out_dir": str(folder / "runs"),
                "data": {"source": str(folder / "noise.npz"), "resolution": 16},
                "model": sizes | {"generator_norm": "group", "discriminator_norm": "group"},
                "train": {"batch_size": 20, "epochs": 2.0, "log_every_steps": 1},
                "samples": {"count": 4},
            }
        )
    )
    return folder


def run_of_4_steps(*changes: Callable[[Path], object]) -> Callable[[Path], None]:
    """Return a function that copies `trained` into a folder and then applies the changes."""

    def prepare(folder: Path) -> None:
        shutil.copytree(trained(), folder, dirs_exist_ok=True)
        for change in changes:
            change(folder)

    return prepare


def write(name: str, text: str) -> Callable[[Path], object]:
    """Return a function that writes a text file in a folder."""

    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")

    return change


def remove(name: str) -> Callable[[Path], object]:
    """Return a function that removes a file of a folder."""
    return lambda folder: (folder / name).unlink()


def folder_instead(name: str) -> Callable[[Path], object]:
    """Return a function that puts a folder in the place of a file, which nobody can read then."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return change


def edit(
    name: str, change_content: Callable[[dict[str, object]], object]
) -> Callable[[Path], None]:
    """Return a function that edits a checkpoint of the run."""

    def change(folder: Path) -> None:
        file = folder / "runs" / "a" / "checkpoints" / name
        saved = torch.load(file, weights_only=True)
        change_content(saved)
        torch.save(saved, file)

    return change


def not_finite(saved: dict[str, object]) -> None:
    for network in ("generator", "ema"):
        for tensor in saved.get(network, {}).values():  # type: ignore[attr-defined]
            tensor.fill_(float("nan"))


def half_of_the_rows(folder: Path) -> None:
    file = folder / "runs" / "a" / "metrics.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text("".join(lines[: len(lines) // 2]), encoding="utf-8")


def cosine(folder: Path) -> None:
    """Make the run one that was trained with a schedule of the whole run."""
    config = folder / "runs" / "a" / "config.toml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace('\nschedule = "constant"', '\nschedule = "cosine"', 1))
    for file in ("step-00000002.pt", "step-00000004.pt"):
        edit(file, lambda saved: saved["config"]["optim"].update(schedule="cosine"))(folder)  # type: ignore[index]


LAST = "runs/a/checkpoints/step-00000004.pt"

CASES = [
    # What a path is that is not a run
    Case("sample-checkpoint", ("sample", LAST),
         "is a checkpoint of the run runs/a; write `d3gan sample runs/a --checkpoint 4`",
         prepare=run_of_4_steps()),
    Case("export-best", ("export", "runs/a/checkpoints/best.pt", "-o", "g.safetensors"),
         "write `d3gan export runs/a --checkpoint best`",
         prepare=run_of_4_steps(write("runs/a/checkpoints/best.pt", ""))),
    Case("evaluate-checkpoint", ("evaluate", LAST),
         "is a checkpoint of the run runs/a; write `d3gan evaluate runs/a --checkpoint 4`",
         prepare=run_of_4_steps()),
    Case("train-checkpoint", ("train", LAST), "write `d3gan train runs/a`",
         prepare=run_of_4_steps()),
    Case("report-checkpoint", ("report", LAST), "write `d3gan report runs/a`",
         prepare=run_of_4_steps()),
    Case("sample-runs", ("sample", "runs"),
         "runs is a folder of runs (a), such as runs/a; write `d3gan sample runs/a`",
         prepare=run_of_4_steps()),
    Case("evaluate-runs", ("evaluate", "runs"),
         "runs is a folder of runs (a), such as runs/a; write `d3gan evaluate runs/a`",
         prepare=run_of_4_steps()),
    Case("evaluate-samples", ("evaluate", "runs/a/samples"),
         "runs/a/samples is a folder of the run runs/a; write `d3gan evaluate runs/a`",
         prepare=run_of_4_steps()),
    Case("sample-pt", ("sample", "x.pt"), "x.pt is a file outside of a run; name a run folder",
         prepare=write("x.pt", "")),
    Case("train-photos", ("train", "photos"),
         "photos is a folder of images, not a run; to train on it: d3gan train PRESET "
         "--data.source photos", prepare=write("photos/a.png", "")),
    Case("report-nothing", ("report", "empty"),
         "there is no run at empty (neither it nor a folder in it has a config.toml)",
         prepare=write("empty/a.txt", "")),
    Case("sample-missing", ("sample", "runs/b"), "there is no run at runs/b (no such folder)"),
    Case("quoted", ("sample", "my run/checkpoints/step-00000004.pt"),
         "write `d3gan sample 'my run' --checkpoint 4`",
         prepare=run_of_4_steps(lambda folder: (folder / "runs/a").rename(folder / "my run"))),
    Case("evaluate-without-config", ("evaluate", "runs/a"),
         "the run runs/a has lost its config.toml; restore that file",
         prepare=run_of_4_steps(remove("runs/a/config.toml"))),
    # Finished runs, and rows that are lost
    Case("finished", ("train", "runs/a"),
         "d3gan: runs/a finished at epoch 2; use --train.epochs 4 to train longer", status=0,
         prepare=run_of_4_steps(), absent=("device ", "healthy", "divergence", "more steps")),
    Case("lost-rows", ("train", "runs/a"),
         "warning: runs/a/metrics.jsonl lacks the rows of the steps 3 to 4, which a checkpoint has "
         "passed; they are not trained again", status=0, prepare=run_of_4_steps(half_of_the_rows)),
    # Paths in a file are relative to the file
    Case("source-of-a-toml", ("train", "configs/a.toml"),
         "configs/a.toml: data.source = 'photos': there is no configs/photos; paths in a file are "
         "relative to the file, and this one is in the working directory: write '../photos'",
         prepare=lambda folder: (
             write("configs/a.toml", "data.source = 'photos'")(folder), (folder / "photos").mkdir()
         )),
    Case("file-of-a-toml", ("train", "configs/a.toml"),
         "configs/a.toml: data.source = 'noise.npz': there is no configs/noise.npz; paths in a",
         prepare=run_of_4_steps(write("configs/a.toml", "data.source = 'noise.npz'"))),
    Case("out-dir-of-a-toml", ("compare", "studies/s.toml", "--dry-run"),
         "paths in studies/s.toml are relative to that file: its out_dir = 'out' is studies/out, "
         "and not out in the working directory", status=0,
         prepare=lambda folder: (
             write("studies/s.toml", "out_dir = 'out'\nmethods = ['demo-dcgan', 'demo-d3gan']")(
                 folder
             ),
             (folder / "out").mkdir(),
         )),
    # Files of the user
    Case("folder-not-empty", ("sample", "runs/a", "--format", "png", "-o", "mine"),
         "output = 'mine': the folder is not empty (notes.txt ...); choose another one, or replace "
         "the images that d3gan wrote there with --overwrite",
         prepare=run_of_4_steps(write("mine/notes.txt", ""))),
    Case("training-data",
         ("sample", "runs/a", "--format", "png", "-o", "photos", "--overwrite"),
         "output = 'photos': holds images that d3gan did not write there (photos/000000.png), "
         "perhaps training data; choose another folder",
         prepare=run_of_4_steps(write("photos/000000.png", "not by d3gan"))),
    Case("classes-of-training-data",
         ("sample", "runs/a", "--format", "png", "-o", "photos", "--overwrite"),
         "holds images that d3gan did not write there (photos/cats/1.jpg), perhaps training data",
         prepare=run_of_4_steps(write("photos/cats/1.jpg", ""))),
    Case("folder-is-a-file", ("sample", "runs/a", "--format", "png", "-o", "photos"),
         "output = 'photos': is a file; name a folder for the images",
         prepare=run_of_4_steps(write("photos", "x"))),
    Case("samples-of-a-run", ("sample", "runs/a", "--format", "png", "-o", "runs/a/samples"),
         "output = 'runs/a/samples': the folder is not empty (step-00000000.png ...)",
         prepare=run_of_4_steps()),
    *(
        Case(f"own-file-{name}", (*command, name),
             f"output = '{name}': the file exists, and d3gan did not write it; choose another "
             f"name, or {hint}",
             prepare=run_of_4_steps(write(name, "of the user")))
        for command, name, hint in (
            (("sample", "runs/a", "-o"), "grid.png", "replace it with --overwrite"),
            (("sample", "runs/a", "--format", "npz", "-o"), "x.npz", "replace it with --overwrite"),
            (("export", "runs/a", "-o"), "g.safetensors", "replace it with --overwrite"),
            (("export", "runs/a", "-o"), "g.onnx", "replace it with --overwrite"),
            (("report", "runs/a", "-o"), "page.html", "move it away"),
            (("data", "show", "digits", "-o"), "grid.png", "move it away"),
        )
    ),
    Case("own-file-json", ("report", "runs/a", "--json", "script.py"),
         "cannot write JSON to script.py: the file exists and holds something else",
         prepare=run_of_4_steps(write("script.py", "print(1)"))),
    # Warm start
    Case("init-from-nowhere", ("train", "demo-d3gan", "--init-from", "runs/b"),
         "model.init_from = 'runs/b': there is no run at runs/b; must be a run, a checkpoint (.pt) "
         "or an export (.safetensors)"),
    Case("init-from-no-file", ("train", "demo-d3gan", "--init-from", "b.safetensors"),
         "model.init_from = 'b.safetensors': there is no such file"),
    # Names
    Case("blank-name", ("train", "demo-d3gan", "--name", " "), "and not spaces alone"),
    # TOML that Python's parser cannot take
    Case("nested-toml", ("train", "deep.toml"),
         "deep.toml: not valid TOML: it is nested too deeply",
         prepare=write("deep.toml", "x = " + "[" * 5000 + "]" * 5000)),
    Case("digits-toml", ("train", "long.toml"),
         "long.toml: not valid TOML: an integer in it has too many digits",
         prepare=write("long.toml", "seed = " + "9" * 5000)),
    # Files that are damaged, or that cannot be read
    Case("metrics-unreadable", ("report", "runs/a"),
         "cannot be read: cannot read runs/a/metrics.jsonl: Is a directory", status=0,
         prepare=run_of_4_steps(folder_instead("runs/a/metrics.jsonl"))),
]  # fmt: skip
"""Most end before torch is imported."""

SLOW = [
    Case("metrics-unreadable-train", ("train", "runs/a"),
         "cannot read runs/a/metrics.jsonl: Is a directory",
         prepare=run_of_4_steps(folder_instead("runs/a/metrics.jsonl"))),
    Case("init-from-another-size",
         ("train", "demo-dcgan", "--init-from", "runs/a", "--eval.every-epochs", "0"),
         "runs/a': its networks are not those of this run: generator.",
         prepare=run_of_4_steps()),
    Case("moved-images", ("train", "runs/a", "--data.source", "moved.npz"),
         "runs/a finished at epoch 2", status=0,
         prepare=run_of_4_steps(
             lambda folder: (folder / "noise.npz").rename(folder / "moved.npz")
         )),
    Case("other-images", ("train", "runs/a", "--data.source", "digits", "--train.epochs", "3"),
         "data.source = 'digits': these are not the images that the run runs/a was trained on",
         prepare=run_of_4_steps()),
    Case("no-rows", ("train", "runs/a"), "runs/a: 4 steps, 80 images in", status=0,
         prepare=run_of_4_steps(write("runs/a/metrics.jsonl", ""))),
    Case("no-metrics", ("train", "runs/a"), "lacks the rows of the steps 1 to 4", status=0,
         prepare=run_of_4_steps(remove("runs/a/metrics.jsonl"))),
    Case("finished-with-a-schedule", ("train", "runs/a"),
         "finished at epoch 2, and its schedules end there; a longer training is a new run, which "
         "may start from these weights: `d3gan train PRESET --init-from runs/a`", status=0,
         prepare=run_of_4_steps(cosine)),
    Case("checkpoint-without-keys", ("sample", "runs/a"),
         "step-00000004.pt (it lacks 'generator'); using runs/a/checkpoints/step-00000002.pt of "
         "step 2", status=0,
         prepare=run_of_4_steps(edit("step-00000004.pt", lambda saved: saved.pop("generator")))),
    Case("not-finite", ("sample", "runs/a"),
         "the weights of step 4 of runs/a are not finite (NaN or infinite)",
         prepare=run_of_4_steps(edit("step-00000004.pt", not_finite))),
    Case("not-finite-evaluate", ("evaluate", "runs/a", "--samples", "20"),
         "the weights of step 4 of runs/a are not finite (NaN or infinite)",
         prepare=run_of_4_steps(edit("step-00000004.pt", not_finite))),
    Case("not-finite-export", ("export", "runs/a", "-o", "g.safetensors"),
         "the weights of step 4 of runs/a are not finite (NaN or infinite)",
         prepare=run_of_4_steps(edit("step-00000004.pt", not_finite))),
]  # fmt: skip


@pytest.mark.parametrize(
    "case",
    [*CASES, *(pytest.param(case, marks=pytest.mark.slow) for case in SLOW)],
    ids=lambda case: case.name,
)
def test_each_case(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
