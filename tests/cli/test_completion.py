"""Shell completion."""

import contextlib
import io
import re
import shlex
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import pytest
from tests.cli.test_documented_commands import ALL, PLACEHOLDER

from d3gan.cli.completion import (
    bash_script,
    fish_script,
    flags_of_commands,
    targets_of,
    words_of_commands,
    zsh_script,
)
from d3gan.cli.main import COMMANDS, main
from d3gan.cli.parsing import described


@pytest.fixture(scope="module")
def script() -> str:
    return bash_script()


@pytest.mark.parametrize("name", [name for name in COMMANDS if "" in targets_of(name)])
def test_flags_are_those_of_the_help(name: str) -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        main([name, "--help"])
    lines = [line.strip("│ ") for line in said.getvalue().splitlines()]
    shown = {
        word
        for line in lines
        if line.startswith("-")
        for word in re.findall(r"(?<!\S)--[a-z][\w.-]*", line.split("  ")[0])
    }
    complete = {flag.name for flag in flags_of_commands()[name]}
    assert shown - complete == set()
    others = complete - shown - {"--quiet", "--verbose"}
    assert not [flag for flag in others if "." not in flag or name not in ("compare", "tune")]


def test_every_command_has_flags_or_kinds() -> None:
    flags = flags_of_commands()
    assert list(flags) == list(COMMANDS)
    assert len(flags["train"]) > 60
    assert {"--preset", "--presets", "--images"} <= {flag.name for flag in flags["bench"]}
    (precision,) = (flag for flag in flags["train"] if flag.name == "--train.precision")
    assert "bf16" in precision.values
    assert "mnist-d3gan" in words_of_commands()["train"]


DOCUMENTED = sorted({words[:2] for _, words in ALL if len(words) > 1 and words[0] in COMMANDS})
"""The command and its next word of all commands of the documentation."""


@pytest.mark.parametrize(("name", "word"), [c for c in DOCUMENTED if not c[1].startswith("-")])
def test_documented_subcommands_are_completed(name: str, word: str) -> None:
    """A word that changes what a command parses is the name of a sub-command."""
    targets = targets_of(name)
    if "" not in targets:
        assert word in words_of_commands()[name] or PLACEHOLDER.search(word)
    elif name != "train":  # which reads the word
        command = getattr(import_module(f"d3gan.cli.{COMMANDS[name][0]}"), name)
        assert described(command, [word]) is targets[""]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("d3gan tra", {"train"}),
        ("d3gan train demo-d", {"demo-d3gan", "demo-dcgan"}),
        ("d3gan train x --data.no-f", {"--data.no-flip"}),
        ("d3gan train x --train.device c", {"cpu", "cuda"}),
        ("d3gan bench sc", {"scaling"}),
        ("d3gan cache cl", {"clear"}),
        ("d3gan cache clear --older", {"--older-than"}),
        ("d3gan pl", {"play"}),
        ("d3gan completion f", {"fish"}),
        ("d3gan sample runs/x --see", {"--seed"}),
        ("d3gan compare --train.epo", {"--train.epochs"}),
        ("d3gan sample some", set()),
    ],
)
def test_bash_completes(script: str, tmp_path: Path, line: str, expected: set[str]) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    *before, current = line.split(" ")
    words = " ".join(f"'{word}'" for word in (*before, current))
    ask = f'COMP_WORDS=({words}); COMP_CWORD={len(before)}; _d3gan; echo "${{COMPREPLY[@]}}"'
    file = tmp_path / "completion.bash"
    file.write_text(f"{script}\n{ask}\n", encoding="utf-8")
    result = subprocess.run([bash, file], capture_output=True, text=True, timeout=30)
    assert result.stderr == ""
    assert set(result.stdout.split()) == expected


def test_scripts_of_other_shells(script: str) -> None:
    assert script in zsh_script()
    assert "bashcompinit" in zsh_script()
    fish = fish_script().splitlines()[1:]
    assert all(line.startswith("complete -c d3gan ") for line in fish)
    assert any("-l train.precision -x -a 'auto fp32" in line for line in fish)
    assert all(shlex.split(line) for line in fish), "quotes are closed"


def test_an_unknown_shell_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"]) == 2
    assert "d3gan: error: " in capsys.readouterr().err
