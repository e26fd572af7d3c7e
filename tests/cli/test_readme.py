"""Every command in the README runs."""

import json
import re
import shlex
import sys
import urllib.request
from pathlib import Path

import pytest
from PIL import Image
from tests.program import d3gan, start_process, wait_for

from d3gan import config, config_files
from d3gan.cli.main import main
from d3gan.gan.aggregation import AGGREGATIONS
from d3gan.gan.objectives import OBJECTIVES
from d3gan.gan.schedules import SCHEDULES

README = Path(__file__).parents[2] / "README.md"
PAGES = [README, README.with_name("CHANGELOG.md"), *(README.parent / "docs").rglob("*.md")]
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
SMALL = [
    *("--train.epochs", "0.02", "--train.batch-size", "16", "--data.source", "digits"),
    *("--model.generator-width", "4", "--model.discriminator-width", "4", "--eval.samples", "1000"),
]
ELSEWHERE = {
    'pip install -c constraints.txt -e . && d3gan demo',
    'pip install -c constraints.txt -e ".[dev]" && pytest',
}  # fmt: skip
"""Commands that .ci/run and the test of the demo cover."""
OTHER_PROGRAMS = ("tensorboard", "torchrun")
ADDRESS = re.compile(r"http://localhost:\d+/")


def test_installation_comes_first() -> None:
    assert set(COMMANDS[:2]) == ELSEWHERE
    script = (README.parent / ".ci" / "run").read_text(encoding="utf-8")
    assert 'pip install -c constraints.txt -e ".[dev]"\n' in script


def test_every_other_command_runs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    quick_classifier: None,
) -> None:
    """Runs are smaller than in the README; all other flags are those of the README."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    Image.effect_noise((90, 70), 40).save(tmp_path / "photos" / "a.jpg")
    assert main(["train", "demo-d3gan", *SMALL]) == 0
    ran = 0
    for line in COMMANDS[2:]:
        program, *arguments = shlex.split(line)
        if program in OTHER_PROGRAMS:
            continue
        assert program == "d3gan"
        if arguments[:2] == ["train", "cifar10-d3gan"]:
            arguments += ["--data.channels", "1"]
        starts = arguments[0] == "train" and not arguments[1].startswith("runs/")
        if "--processes" in arguments:
            arguments += ["--name", "two", "--eval.every-epochs", "0"]
        if starts and "--help" not in arguments:
            arguments += SMALL
        if arguments[0] == "compare":  # tests/cli/test_compare.py runs whole studies
            arguments += ["--dry-run"]
        if "--processes" in arguments:  # main() cannot end workers
            assert d3gan(*arguments).returncode == 0
        elif "--help" in arguments:
            with pytest.raises(SystemExit) as end:
                main(arguments)
            assert not end.value.code
        else:
            assert main(arguments) == 0, (line, capsys.readouterr().err)
        ran += 1
    assert ran >= 14
    for file in ("grid.png", "walk.png", "many.npz", "generator.safetensors", "runs/two"):
        assert (tmp_path / file).exists(), file
    assert len(list((tmp_path / "many").iterdir())) == 1000


def test_commands_of_other_programs_are_covered_elsewhere() -> None:
    others = [line for line in COMMANDS if shlex.split(line)[0] in OTHER_PROGRAMS]
    assert others == [
        "tensorboard --logdir runs",  # see the next test
        # See tests/training/distributed/test_several_processes.py.
        "torchrun --standalone --nproc-per-node 2 -m d3gan train mnist-d3gan",
    ]


def test_tensorboard_shows_a_run(tmp_path: Path, quick_classifier: None) -> None:
    assert main(["train", "demo-d3gan", *SMALL, "--out-dir", str(tmp_path)]) == 0
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(tmp_path), "--port", "0"]
    flags = ["--load_fast", "false", "--reload_interval", "1"]
    log = tmp_path / "tensorboard.log"
    with log.open("w") as file:
        server = start_process([*command, *flags], stdout=file, stderr=file)
    shown: dict[str, dict[str, object]] = {}

    def shows_the_run() -> bool:
        if address := ADDRESS.search(log.read_text()):
            url = f"{address[0]}data/plugin/scalars/tags"
            with urllib.request.urlopen(url, timeout=30) as answer:
                shown.update(json.load(answer))
        return "demo-d3gan" in shown

    wait_for(shows_the_run, server)
    assert {"loss_g", "loss_d/0", "loss_d/1", "eval/fd"} <= set(shown["demo-d3gan"])


def test_the_toml_example_is_valid(tmp_path: Path) -> None:
    (toml,) = (text for kind, text in BLOCKS if kind == "toml")
    file = tmp_path / "mine.toml"
    file.write_text(toml)
    found = config.validate(config_files.load_file(file))
    assert (found.data.resolution, found.gan.discriminators) == (64, 2)


def test_the_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_classifier: None
) -> None:
    monkeypatch.chdir(tmp_path)
    (python,) = (text for kind, text in BLOCKS if kind == "python")
    names: dict[str, object] = {}
    exec(python.replace('"train.epochs": 2', '"train.epochs": 0.02'), names)
    assert names["images"].shape == (64, 32, 32, 1)  # type: ignore[attr-defined]


def test_pictures_exist() -> None:
    for name in re.findall(r"!\[.*?\]\((.*?)\)", README.read_text(encoding="utf-8")):
        with Image.open(README.parent / name) as picture:
            assert min(picture.size) > 200


def test_every_aggregation_and_objective_is_listed() -> None:
    text = README.read_text(encoding="utf-8")
    for name in (*AGGREGATIONS, *OBJECTIVES, *SCHEDULES):
        assert f"`{name}" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_the_documentation_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize(
    "page", [p for p in PAGES if p.name != "CHANGELOG.md"], ids=lambda page: page.name
)
def test_the_documentation_names_existing_keys(page: Path) -> None:
    sections = "data|model|gan|optim|train|samples|eval|checkpoint"
    text = page.read_text(encoding="utf-8")
    named = re.findall(rf"(?:`|--)((?:{sections})\.[a-z][\w-]*)", text)
    files = (".safetensors", ".png")  # not keys, though their names begin like a section
    flags = {key.replace("-", "_") for key in named if not key.endswith(files)}
    assert flags <= set(config.keys())
