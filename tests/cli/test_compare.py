"""d3gan compare, up to the report."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.program import posix_signals, start_process, written
from tests.stub import Stub, make_stub

from d3gan import config as configs
from d3gan.cli import compare as comparing
from d3gan.cli.main import main
from d3gan.config import Config
from d3gan.runs import RunFolder
from d3gan.study import watching
from d3gan.study.launchers import LocalLauncher
from d3gan.study.plan import Study
from d3gan.study.question import Primary, Question
from d3gan.study.run import Entry
from d3gan.study.saved_study import load

RESULT: dict[str, Any] = {
    "metric": "fd",
    "baseline": "a",
    "at": {"images": 1000},
    "methods": {
        "a": {"fd": {"mean": 9.5, "low": 9.0, "high": 10.0, "seeds": 2}},
        "b": {"fd": {"mean": 8.25, "low": None, "high": None, "seeds": 1}},
    },
    "judgement": {
        "headline": "No clear difference.",
        "sentences": ["No clear difference.", "b needs " + "more words than fit a line " * 3 + "."],
        "groups": [
            {
                "comparisons": [
                    {
                        "method": "b",
                        "baseline": "a",
                        "primary": True,
                        "factor": 1.25,
                        "clock": "seconds",
                        "sentence": "No clear difference.",
                        "word": "no clear difference",
                        "time": {"estimate": 0.8, "low": 0.625, "high": None},
                    }
                ]
            }
        ],
        "left_out": [{"name": "b-seed-1", "reason": "has no evaluation"}],
    },
    "warnings": ["1 of 3 runs did not finish"],
    "runs": {"a": [{}, {}], "b": [{}]},
}


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    """Replace `d3gan train` by a small program, and the comparison by a fixed one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(comparing, "write_report", lambda runs, output, **more: RESULT)
    return make_stub(tmp_path, monkeypatch)


@pytest.fixture
def flags(tiny: Config, tmp_path: Path) -> list[str]:
    """Arguments for runs a-seed-0 and b-seed-0, of ten steps, in runs/study."""
    config = configs.from_dict({"eval": {"every_epochs": 1.0}, "train": {"device": "cpu"}}, tiny)
    for name in "ab":
        written(configs.from_dict({"name": name}, config), tmp_path)
    return ["compare", "--methods", "a.toml", "b.toml", "--seeds", "0"]


def test_a_study_trains_its_runs_and_prints_the_comparison(
    stub: Stub, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(flags) == 0
    output, errors = capsys.readouterr()
    assert output.splitlines() == [
        " method  seeds           fd              ratio               result",
        " a           2  9.50 \N{PLUS-MINUS SIGN} 0.50                  \N{EN DASH}",
        " b           1         8.25  0.80 (above 0.62)  no clear difference",
        "fd after 1,000 images; with 95 % confidence intervals; ratio: training time",
        "until the target is reached, divided by a's",
        "",
        "No clear difference.",
        "b needs more words than fit a line more words than fit a line more words than",
        "fit a line .",
        "Warning: 1 of 3 runs did not finish.",
        "Left out: b-seed-1 has no evaluation.",
        "report: runs/study/study.html",
    ]
    assert errors.splitlines() == [
        "a-seed-0: finished at step 10, fd 9.5",
        "b-seed-0: finished at step 10, fd 9.5",
    ]
    assert main([*flags, "--json", "-", "-o", "elsewhere.html"]) == 0
    assert json.loads(capsys.readouterr().out) == RESULT
    assert len(stub.events()) == 4, "nothing is trained twice"


def test_the_pilot_runs_can_be_trained_alone(stub: Stub, flags: list[str]) -> None:
    assert main([*flags, "--pilot-seeds", "7", "--pilot-only"]) == 0
    runs = sorted(path.parent.name for path in Path("runs/study").glob("*/status.json"))
    assert runs == ["a-pilot-7", "b-pilot-7"]


def test_a_failed_run_is_reported_after_the_others_ended(
    stub: Stub, flags: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stub.does({"a-seed-0": "fail"})
    assert main(flags) == 2
    log = Path("runs/study/logs/a-seed-0.log")
    output, errors = capsys.readouterr()
    assert output.splitlines()[-1] == "report: runs/study/study.html", "of the other runs"
    *_, failed, last = errors.splitlines()
    assert failed == f"d3gan: a-seed-0 failed: it cannot be done (log: {log})"
    assert last.startswith("d3gan: error: 1 of 2 runs failed (a-seed-0); fix the causes")
    assert f"continue with `d3gan {' '.join(flags)}`" in last
    assert "d3gan: error: this line is not read" in log.read_text()
    assert ("ends", "b-seed-0") in stub.events()


def test_diverged_runs_are_reported_and_compared(
    stub: Stub, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    stub.does({"a-seed-0": "diverge"})
    for _ in range(2):
        assert main(flags) == 0
        output, errors = capsys.readouterr()
        assert "d3gan: a-seed-0 diverged: loss_g is not finite (log: " in errors
        assert "No clear difference." in output
    assert stub.events().count(("begins", "a-seed-0")) == 1


@posix_signals
def test_a_stopped_study_says_how_to_continue(
    stub: Stub, flags: list[str], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    stub.does({"b-seed-0": "wait"})
    show = watching._Lines.__call__

    def stop(lines: watching._Lines, entries: Sequence[Entry]) -> None:
        show(lines, entries)
        if ("begins", "b-seed-0") in stub.events():
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(watching._Lines, "__call__", stop)
    assert main([*flags, "--gan.aggregation", "softmax(temperature=0.5)"]) == 143
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == (
        "d3gan: stopped with 1 of 2 runs done; the others are saved; continue with `d3gan "
        f"{' '.join(flags)} --gan.aggregation 'softmax(temperature=0.5)'`"
    )


def test_a_dry_run_prints_the_plan_and_trains_nothing(
    stub: Stub, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--vary", "train.batch-size", "8", "4", "--dry-run"]
    assert main([*flags, *more]) == 0
    assert not Path("runs").exists()
    assert stub.events() == []
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["a-batch_size-8-seed-0", "10", "80", "0%", "new"]
    assert lines[2].split() == ["a-batch_size-4-seed-0", "20", "80", "0%", "new"]
    assert lines[-1].strip() == "4 runs; 320 images to train"
    assert all(len(line) <= 80 for line in lines)
    main([*flags])
    capsys.readouterr()
    assert main([*flags, "--train.epochs", "4", "--dry-run"]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line.split() == ["a-seed-0", "20", "160", "50%", "continues"]


def test_flags_override_the_file(stub: Stub, flags: list[str]) -> None:
    Path("mine.toml").write_text(
        'methods = ["a.toml"]\nseeds = [7]\n[set]\ntrain.epochs = 3\ngan.r1_gamma = 1\n'
        "[vary]\ntrain.batch_size = [4, 8]\n"
    )

    def planned(changes: dict[str, Any] | None = None, **options: Any) -> Study:
        return comparing.planned(comparing.Compare("mine.toml", **options), changes or {})

    assert [run.name for run in planned().runs] == [
        "a-batch_size-4-seed-7", "a-batch_size-8-seed-7",
    ]  # fmt: skip
    study = planned(
        {"train.epochs": 2, "data.flip": True, "eval.metrics": ["fd", "kd"]},
        methods=("b.toml",), seeds=(1,), out_dir="there", scale=0.5,
        vary=(("train.batch-size", "2"),),
    )  # fmt: skip
    (run,) = study.runs
    assert run.folder.path == Path("there-scale-0.5/b-batch_size-2-seed-1")
    config = run.config
    assert (config.train.epochs, config.data.flip) == (1.0, True)
    assert config.gan.penalties == ("r1(gamma=1.0)",)
    assert config.eval.metrics == ("fd", "kd")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "name the methods to compare: methods ="),
        ("no.toml", "there is no study no.toml"),
        ("--methods demo-dcgn", "there is no preset 'demo-dcgn' (did you mean 'demo-dcgan'?)"),
        ("--method demo-dcgan", "did you mean --methods?"),
        ("--methods demo-dcgan --seeds a", "--seeds"),
        ("--methods demo-dcgan --pilot-seeds 0", "pilot_seeds = [0]: 0 is also among the seeds"),
        ("--methods demo-dcgan --primary x", "primary.method = 'x': is not a method to compare"),
        ("--methods demo-dcgan --margin 0", "margin = 0: must be above 0 and below 1"),
        ("--methods demo-dcgan --clocks days", "--clocks"),
        ("--methods demo-dcgan --seeds 0 0", "seeds = [0, 0]: contains a seed twice"),
        ("--methods demo-dcgan --vary train.batch_size", "write --vary KEY VALUE [VALUE ...]"),
        ("--methods demo-dcgan --set train.epochs 3", "--set KEY VALUE: write --KEY VALUE, for"),
        ("--methods demo-dcgan --vary train.batch_size 8 0", "train.batch_size = 0: must be"),
        ("--methods demo-dcgan --vary seed 8", "seed = [8]: the study sets it for each run"),
        ("--methods demo-dcgan --train.batch_size 6000", "digits has only 5000 images"),
        ("--methods demo-dcgan --scale 0", "scale = 0: must be above 0 and at most 1"),
        ("--methods demo-dcgan --jobs -1", "jobs = -1: must be at least 1"),
        ("--methods demo-dcgan -o report.pdf", "must be a name that ends in .html"),
        ("--methods demo-dcgan --json no/a.json", "cannot write JSON to no/a.json"),
        ("--methods demo-dcgan --slurm.partition", "--slurm.partition: needs a value"),
        ("--methods demo-dcgan --train.epochs", "--train.epochs: needs a value"),
        ("--methods demo-dcgan --train.epochs x", "train.epochs = 'x': must be a number"),
        ("--methods demo-dcgan --train.epoch 3", "unknown key train.epoch (did you mean"),
        ("--methods demo-dcgan --launcher submitit-local --slurm.partion gpu", "'partion'"),
    ],
)  # fmt: skip
def test_mistakes(
    stub: Stub, arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(Path.cwd().iterdir())
    assert main(["compare", *arguments.split()]) == 2
    output, errors = capsys.readouterr()
    (line,) = errors.splitlines()
    assert line.startswith("d3gan: error: ")
    assert message in line
    assert output == ""
    assert stub.events() == []
    if "submitit" not in arguments:  # which creates its folder at once
        assert sorted(Path.cwd().iterdir()) == before


def test_parameters_of_slurm_are_flags(
    stub: Stub, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def launcher(cluster: str, folder: Path, slots: int, parameters: dict[str, Any]) -> Any:
        asked.append((cluster, slots, parameters))
        return LocalLauncher([{}])

    monkeypatch.setattr(comparing, "SubmititLauncher", launcher)
    words = ["--slurm.partition", "gpu", "--slurm.mem-gb=1.5", "--slurm.nodes", "1"]
    assert main([*flags, "--launcher", "slurm", *words]) == 0
    assert asked == [("slurm", 2, {"partition": "gpu", "mem_gb": 1.5, "nodes": 1})]


def test_keys_of_the_configuration_are_flags(stub: Stub, flags: list[str]) -> None:
    words = ["--train.epochs", "1", "--data.flip", "--gan.r1-gamma=0.5", "--eval.metrics", "fd,kd"]
    words += ["--gan.augmentations", "color", "cutout", "--train.no-deterministic"]
    assert main([*flags, "--train.epochs", "3", *words]) == 0
    run = RunFolder(Path("runs/study/a-seed-0"))
    config = configs.from_dict(run.config())
    assert (config.train.epochs, config.data.flip) == (1.0, True)
    assert (config.gan.penalties, config.eval.metrics) == (("r1(gamma=0.5)",), ("fd", "kd"))
    assert config.gan.augmentations == ("color", "cutout")


def test_the_study_says_what_is_compared(
    stub: Stub, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def write_report(runs: Sequence[RunFolder], output: Path, **more: Any) -> dict[str, Any]:
        asked.append(([run.path for run in runs], output, more))
        return RESULT

    monkeypatch.setattr(comparing, "write_report", write_report)
    words = ["--baseline", "b", "--metric", "kd", "-o", "x.html", "--pilot-seeds", "7"]
    more = ["--primary", "a", "--targets", "1.5", "--clocks", "images", "steps", "--margin", "0.2"]
    assert main([*flags, *words, *more, "--collapsed-below", "0.9"]) == 0
    folders = [
        Path("runs/study") / name for name in ("a-pilot-7", "b-pilot-7", "a-seed-0", "b-seed-0")
    ]
    question = Question(
        "b", "kd", Primary("a", "images", 1.5), (7,), (1.5,), ("images", "steps"), 0.2, 0.9
    )
    settings = {"title": "study", "question": question, "notes": []}
    assert asked == [(folders, Path("x.html"), settings)]
    saved = load(Path("runs/study"))
    assert saved is not None
    assert (saved.question, saved.changed) == (question, ())


def test_pilot_runs_are_in_the_plan(
    stub: Stub, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*flags, "--pilot-seeds", "7", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:5]] == [
        "a-pilot-7", "b-pilot-7", "a-seed-0", "b-seed-0",
    ]  # fmt: skip
    assert (
        lines[-1].strip() == "4 runs, 2 of them pilots, which fix the targets; 320 images to train"
    )
    assert not Path("runs").exists()


def test_a_question_that_changes_after_runs_exist_is_a_warning(
    stub: Stub, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[Any] = []
    monkeypatch.setattr(
        comparing,
        "write_report",
        lambda runs, output, **more: notes.append(more["notes"]) or RESULT,
    )
    assert main(flags) == 0
    assert main([*flags, "1"]) == 0  # another seed
    assert main([*flags, "--targets", "1.5"]) == 0
    assert main(flags) == 0
    warning = (
        "primary and targets of the study changed after runs existed, so the question was not "
        "fixed beforehand"
    )
    others = "runs in runs/study that are not of the study are ignored: a-seed-1, b-seed-1"
    assert notes == [[], [], [warning, others], [warning, others]]


# Killed

QUICK = """
import sys
from d3gan.evaluation.features import classifier_cache
from d3gan.evaluation.features.classifier import Recipe
quick = Recipe(width=8, epochs=5.0, least_images=0, most_images=640)
classifier_cache.RECIPES = {1: quick, 3: quick}
from d3gan.cli.main import main
from d3gan.study import launchers
launchers.PROGRAM = (sys.executable, __file__)
sys.exit(main())
"""
TIMES = ("train_seconds", "eval_seconds", "images_per_second", "peak_memory_bytes", "utilisation")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform == "win32", reason="kills by signals")
@pytest.mark.parametrize("victims", ["compare", "everything"])
def test_a_study_killed_at_random_moments_ends_with_the_same_table(
    measured: Config, tmp_path: Path, victims: str
) -> None:
    """Kill only compare, whose runs continue by themselves, or all processes at once."""
    draw = random.Random(time.time_ns())
    (tmp_path / "quick.py").write_text(QUICK)
    longer = configs.from_dict(
        {"train": {"epochs": 8.0}, "checkpoint": {"every_epochs": 0.5}}, measured
    )
    for name, n in (("one", 1), ("two", 2)):
        written(configs.from_dict({"name": name, "gan": {"discriminators": n}}, longer), tmp_path)

    def start(name: str) -> "subprocess.Popen[str]":
        words = ["compare", "--methods", "one.toml", "two.toml", "--seeds", "0", "1"]
        command = [sys.executable, "quick.py", *words, "--name", name, "--json", f"{name}.json"]
        return start_process(command, folder=tmp_path)

    def rows(name: str) -> dict[str, list[dict[str, Any]]]:
        return {
            folder.name: [
                {key: value for key, value in row.items() if key not in TIMES}
                for row in RunFolder(folder).metrics()
            ]
            for folder in sorted((tmp_path / "runs" / name).glob("*-seed-?"))
        }

    begun = time.monotonic()
    process = start("whole")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    seconds = time.monotonic() - begun
    moments = [draw.uniform(0.1, 0.6) * seconds for _ in range(2)]
    for moment in moments:
        process = start("killed")
        time.sleep(moment)
        if victims == "compare":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=20)
    process = start("killed")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, (moments, errors)
    assert len(rows("whole")) == 4
    assert rows("killed") == rows("whole"), moments
    whole, killed = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("whole", "killed"))
    assert killed["methods"] == whole["methods"]
    assert len(whole["methods"]) == 2
    assert killed["at"]["images"] == whole["at"]["images"] > 0
    assert "<svg" in (tmp_path / "runs" / "killed" / "killed.html").read_text(encoding="utf-8")
