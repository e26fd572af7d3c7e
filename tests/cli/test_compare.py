"""d3gan compare, up to what is told of its results."""

import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from rich.console import Console
from tests.program import written
from tests.stub import Stub, make_stub

from d3gan import config as configs
from d3gan import progress
from d3gan.cli import compare as comparing
from d3gan.cli import watching
from d3gan.cli.main import main
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.runs import RunFolder
from d3gan.study.plan import KEYS, PlannedRun, Study, make_study, read_study
from d3gan.study.running import Entry
from d3gan.study.standing import Standing

RESULT: dict[str, Any] = {
    "metric": "fd",
    "baseline": "a",
    "methods": {
        "a": {"fd": {"mean": 9.5, "low": 9.0, "high": 10.0, "seeds": 2}},
        "b": {"fd": {"mean": 8.25, "low": None, "high": None, "seeds": 1}},
    },
    "speedup": {"b over a": {"mean": 1.25, "low": 0.9, "high": 1.6}},
    "verdict": "not shown",
    "runs": {},
}


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    """Small programs are trained, and nothing is made of what comes out."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(comparing, "conclude", lambda study, report: RESULT)
    return make_stub(tmp_path, monkeypatch)


@pytest.fixture
def flags(tiny: Config, tmp_path: Path) -> list[str]:
    """Runs a-seed-0 and b-seed-0, of ten steps, in runs/study."""
    config = configs.from_dict({"eval": {"every_epochs": 1.0}, "train": {"device": "cpu"}}, tiny)
    for name in "ab":
        written(configs.from_dict({"name": name}, config), tmp_path)
    return ["compare", "--methods", "a.toml", "b.toml", "--seeds", "0"]


def test_a_study_runs_to_its_end_and_tells_what_came_out(
    stub: Stub, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(flags) == 0
    output, errors = capsys.readouterr()
    assert output.splitlines() == [
        " method  seeds    fd     95 %  speed-up        95 %",
        " a           2   9.5  9 to 10         -           -",
        " b           1  8.25        -      1.25  0.9 to 1.6",
        "",
        "not shown",
        "report: runs/study/study.html",
    ]
    assert errors.splitlines() == [
        "a-seed-0: finished at step 10, fd 9.5",
        "b-seed-0: finished at step 10, fd 9.5",
    ]
    assert main([*flags, "--json", "-", "-o", "elsewhere.html"]) == 0
    assert json.loads(capsys.readouterr().out) == RESULT
    assert len(stub.events()) == 4, "nothing is trained twice"


def test_what_the_runs_say_is_kept_and_their_failure_told_after_the_others_ended(
    stub: Stub, flags: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stub.does({"a-seed-0": "fail"})
    assert main(flags) == 2
    log = Path("runs/study/logs/a-seed-0.log")
    *_, failed, last = capsys.readouterr().err.splitlines()
    assert failed == f"d3gan: a-seed-0 failed: d3gan: error: it cannot be done (log: {log})"
    assert last.startswith("d3gan: error: 1 of 2 runs failed (a-seed-0); mend what their logs say")
    assert f"go on with 'd3gan {' '.join(flags)}'" in last
    assert "it cannot be done" in log.read_text()
    assert ("ends", "b-seed-0") in stub.events()


def test_diverged_runs_are_told_and_compared(
    stub: Stub, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    stub.does({"a-seed-0": "diverge"})
    for _ in range(2):
        assert main(flags) == 0
        output, errors = capsys.readouterr()
        assert "d3gan: a-seed-0 diverged: d3gan: error: loss not finite" in errors
        assert "not shown" in output
    assert stub.events().count(("begins", "a-seed-0")) == 1


def test_a_stopped_study_says_how_to_go_on(
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
    assert main([*flags, "--set", "gan.aggregation", "softmax(temperature=0.5)"]) == 143
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == (
        "d3gan: stopped with 1 of 2 runs done; what the others reached is saved; go on with 'd3gan "
        f"{' '.join(flags)} --set gan.aggregation 'softmax(temperature=0.5)''"
    )


def test_a_dry_run_tells_the_plan_and_does_nothing(
    stub: Stub, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--vary", "train.batch-size", "8", "4", "--dry-run"]
    assert main([*flags, *more]) == 0
    assert not Path("runs").exists()
    assert stub.events() == []
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["a-batch_size-8-seed-0", "10", "80", "0%", "new"]
    assert lines[2].split() == ["a-batch_size-4-seed-0", "20", "80", "0%", "new"]
    assert lines[-1].strip() == "4 runs; 320 images to go"
    assert all(len(line) <= 80 for line in lines)
    main([*flags])
    capsys.readouterr()
    assert main([*flags, "--set", "train.epochs", "4", "--dry-run"]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line.split() == ["a-seed-0", "20", "160", "50%", "goes", "on"]


def test_flags_go_over_the_file(stub: Stub, flags: list[str]) -> None:
    Path("mine.toml").write_text(
        'methods = ["a.toml"]\nseeds = [7]\n[set]\ntrain.epochs = 3\ngan.r1_gamma = 1\n'
        "[vary]\ntrain.batch_size = [4, 8]\n"
    )

    def planned(**options: Any) -> Study:
        return comparing.planned(comparing.Compare("mine.toml", **options))

    assert [run.name for run in planned().runs] == [
        "a-batch_size-4-seed-7", "a-batch_size-8-seed-7",
    ]  # fmt: skip
    study = planned(
        methods=("b.toml",), seeds=(1,), out_dir="there", scale=0.5,
        changes=(("train.epochs", "2", "data.flip", "true"), ("eval.metrics", "fd,kid")),
        vary=(("train.batch-size", "2"),),
    )  # fmt: skip
    (run,) = study.runs
    assert run.folder.path == Path("there-scale-0.5/b-batch_size-2-seed-1")
    config = run.config
    assert (config.train.epochs, config.gan.r1_gamma, config.data.flip) == (1.0, 1.0, True)
    assert config.eval.metrics == ("fd", "kid")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "name the methods to compare, as methods ="),
        ("no.toml", "there is no study no.toml"),
        ("--methods demo-dcgn", "there is no preset 'demo-dcgn' (did you mean 'demo-dcgan'?)"),
        ("--method demo-dcgan", "did you mean --methods?"),
        ("--methods demo-dcgan --seeds a", "--seeds"),
        ("--methods demo-dcgan --seeds 0 0", "seeds = [0, 0]: names one twice"),
        ("--methods demo-dcgan --vary train.batch_size", "write --vary KEY VALUE [VALUE ...]"),
        ("--methods demo-dcgan --set train.epochs", "write --set KEY VALUE [KEY VALUE ...]"),
        ("--methods demo-dcgan --set train.epoch 3", "unknown key train.epoch (did you mean"),
        ("--methods demo-dcgan --set train.epochs x", "train.epochs = 'x': must be a number"),
        ("--methods demo-dcgan --set data.flip 3", "data.flip = '3': must be true or false"),
        ("--methods demo-dcgan --vary train.batch_size 8 0", "train.batch_size = 0: must be"),
        ("--methods demo-dcgan --vary seed 8", "seed = [8]: the study decides it for each run"),
        ("--methods demo-dcgan --set train.batch_size 6000", "digits has only 5000 images"),
        ("--methods demo-dcgan --scale 0", "scale = 0: must be above 0 and at most 1"),
        ("--methods demo-dcgan --jobs -1", "jobs = -1: must be at least 1"),
        ("--methods demo-dcgan -o report.pdf", "must be a name that ends in .html"),
        ("--methods demo-dcgan --json no/a.json", "cannot write JSON to no/a.json"),
        ("--methods demo-dcgan --slurm.partition", "--slurm.partition: needs a value"),
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
    if "submitit" not in arguments:  # which makes its folder at once
        assert sorted(Path.cwd().iterdir()) == before


def test_parameters_of_slurm_are_flags() -> None:
    words = ["x.toml", "--slurm.partition", "gpu", "--slurm.mem-gb=1.5", "--slurm.nodes", "1"]
    rest, parameters = comparing._slurm_parameters(words)
    assert rest == ["x.toml"]
    assert parameters == {"partition": "gpu", "mem_gb": 1.5, "nodes": 1}


def test_the_comparison_is_made_of_the_study_s_runs_and_its_page_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = tuple(
        PlannedRun(method, configs.from_dict({"name": f"{method}-seed-{seed}", "out_dir": "r"}))
        for seed in (0, 1)
        for method in "ab"
    )
    study = Study("mine", runs, Path("r"), "b", "kid", {})
    result = {**RESULT, "runs": {m: [{"path": f"r/{m}-seed-{s}"} for s in (0, 1)] for m in "ab"}}
    comparison, page = ModuleType("comparison"), ModuleType("page")

    def compare(folders: Sequence[RunFolder], *, metric: str, baseline: str) -> dict[str, Any]:
        assert [run.path for run in folders] == [run.folder.path for run in runs]
        assert (metric, baseline) == ("kid", "b")
        return result

    written: list[Any] = []
    comparison.compare = compare  # type: ignore[attr-defined]
    page.write_page = lambda *words, **more: written.append((*words, more))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "d3gan.study.comparison", comparison)
    monkeypatch.setitem(sys.modules, "d3gan.report.page", page)
    assert comparing.conclude(study, Path("x.html")) == result
    ((given, folders, file, more),) = written
    assert (given, file, more) == (result, Path("x.html"), {"title": "mine"})
    assert [run.path for run in folders["b"]] == [Path("r/b-seed-0"), Path("r/b-seed-1")]


# The docs

DOCS = (Path(__file__).parents[2] / "docs" / "studies.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", DOCS, flags=re.DOTALL)
SAID = "\n".join(text for kind, text in BLOCKS if kind == "sh").replace("\\\n", " ")


@pytest.mark.parametrize("line", [line for line in SAID.splitlines() if "d3gan compare" in line])
def test_every_command_of_the_docs_can_be_planned(
    line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = Path(__file__).parents[2]
    (tmp_path / "studies").symlink_to(root / "studies")
    (tmp_path / "mine.toml").write_text(next(text for kind, text in BLOCKS if kind == "toml"))
    monkeypatch.chdir(tmp_path)
    asked: list[Study] = []
    planned = comparing.planned

    def plan(options: comparing.Compare) -> Study:
        asked.append(planned(options))
        raise UserError("enough")

    monkeypatch.setattr(comparing, "planned", plan)
    program, *arguments = shlex.split(line, comments=True)
    assert program == "d3gan"
    main(arguments)
    assert asked


@pytest.mark.parametrize("text", [text for kind, text in BLOCKS if kind == "toml"])
def test_every_study_of_the_docs_can_be_planned(text: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    assert make_study(read_study(file)).runs


def test_the_docs_name_every_key_and_study() -> None:
    assert all(f"`{key}`" in DOCS for key in KEYS)
    studies = (Path(__file__).parents[2] / "studies").glob("*.toml")
    assert all(f"`{file.name}`" in DOCS for file in studies)


# While it runs


def entries() -> list[Entry]:
    states = ("finished", "diverged", "failed", "running", "waiting", "waiting")
    found = []
    for number, state in enumerate(states):
        name = f"cifar10-d3gan-batch_size-512-aggregation-softmax-temperature-0.5-seed-{number}"
        run = PlannedRun("m", configs.from_dict({"name": name}))
        share = {"finished": 1.0, "running": 0.5}.get(state, 0.0)
        step = round(78200 * share)
        reached = Standing("unfinished", step, 78200, share, 3600 * share, "precision", 0.123456)
        found.append(Entry(run, "", reached, state))  # type: ignore[arg-type]
    return found


def shown(table: Any, width: int = 80) -> list[str]:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]


def test_the_table_of_runs_fits_a_terminal() -> None:
    lines = shown(watching.grid_table(entries(), 1))
    assert len(lines) == 8
    assert all(len(line) <= 80 for line in lines)
    name = "cifar10-d3gan-bat…erature-0.5-seed-3"
    assert lines[4].split() == [name, "running", "39100/78200", "precision", "0.1235"]
    assert lines[-1].strip() == "2 of 6 runs done, about 2 h 30 min left"
    few = shown(watching.grid_table(entries(), 1, lines=2))
    assert [line.split()[1] for line in few[1:3]] == ["failed", "running"]
    assert few[3].strip() == "and 4 more"


def test_on_a_terminal_the_table_is_live(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    with watching.watching(1) as show:
        show(entries())
    assert "2 of 6 runs done" in capsys.readouterr().err


def test_elsewhere_a_line_per_finished_run_and_one_per_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = entries()
    with watching.watching(1) as show:
        show(grid)
        assert capsys.readouterr().err == ""
        grid[3].state = "finished"
        show(grid)
        show(grid)
        (line,) = capsys.readouterr().err.splitlines()
        assert line == f"{grid[3].run.name}: finished at step 39100, precision 0.1235"
        grid[4].state = "running"
        monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
        show(grid)
        (line,) = capsys.readouterr().err.splitlines()
        assert line == f"3 of 6 runs done, about 2 h 00 min left; {grid[4].run.name} 0%"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min"), (3599, "1 h 00 min"), (3900, "1 h 05 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert watching.duration(seconds) == text


# Killed

QUICK = """
import json, sys
from pathlib import Path
from d3gan.metrics import classifier_cache
from d3gan.metrics.classifier import Recipe
quick = Recipe(width=8, epochs=5.0, least_images=0, most_images=640)
classifier_cache.RECIPES = {1: quick, 3: quick}
from d3gan.cli import compare
from d3gan.cli.main import main
from d3gan.study import launchers
launchers.PROGRAM = (sys.executable, __file__)
compare.conclude = lambda study, report: json.loads((Path(__file__).parent / "result").read_text())
sys.exit(main())
"""
TIMES = ("train_seconds", "eval_seconds", "images_per_second", "peak_memory_bytes", "utilisation")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform == "win32", reason="kills by signals")
@pytest.mark.parametrize("victims", ["compare", "everything"])
def test_a_study_killed_at_random_moments_ends_with_the_same_rows(
    measured: Config, tmp_path: Path, victims: str
) -> None:
    """Compare alone, whose runs then go on by themselves, or all processes at once."""
    draw = random.Random(time.time_ns())
    (tmp_path / "quick.py").write_text(QUICK)
    (tmp_path / "result").write_text(json.dumps(RESULT))
    longer = configs.from_dict(
        {"train": {"epochs": 8.0}, "checkpoint": {"every_epochs": 0.5}}, measured
    )
    for name, n in (("one", 1), ("two", 2)):
        written(configs.from_dict({"name": name, "gan": {"discriminators": n}}, longer), tmp_path)

    def start(name: str) -> "subprocess.Popen[str]":
        words = ["compare", "--methods", "one.toml", "two.toml", "--seeds", "0", "1"]
        return subprocess.Popen(
            [sys.executable, "quick.py", *words, "--name", name],
            cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

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
        process.wait()
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        process.stderr.close()
    process = start("killed")
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, (moments, errors)
    assert "not shown" in output
    assert len(rows("whole")) == 4
    assert rows("killed") == rows("whole"), moments
