"""Every `d3gan` command of the documentation has a command and flags that exist.

The program's own parsers decide, and nothing is run. tests/cli/test_readme.py runs those of the
README.
"""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tyro

from d3gan.cli.completion import flags_of_commands
from d3gan.cli.main import COMMANDS, main
from d3gan.config_files import presets

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
SHELLS = ("sh", "bash", "console", "shell", "zsh", "fish", "powershell")


class Parsed(Exception):
    """The arguments of a command were parsed."""


def commands_of_line(line: str) -> Iterator[tuple[str, ...]]:
    """Yield the arguments of every d3gan command in a line of shell."""
    line = re.sub(r"\$\(.*?\)", "SUBSTITUTED", line)
    for part in re.split(r"&&|\|\||[|;<>]", line.split(" #")[0]):
        words = shlex.split(part, comments=True) if part.strip() else []
        words = [word for word in words if word != "$"]
        if words[:1] == ["d3gan"]:
            yield tuple(words[1:])
        for k in range(len(words) - 1):
            if words[k : k + 2] == ["-m", "d3gan"]:
                yield tuple(words[k + 2 :])


def commands_of_page(text: str) -> Iterator[tuple[str, ...]]:
    """Yield the commands in the shell blocks of a page, and in code within its sentences."""
    for kind, block in re.findall(r"^ *```(\w*)\n(.*?)```", text, flags=re.DOTALL | re.MULTILINE):
        if kind in SHELLS:
            for line in re.sub(r"\\\n\s*", "", block).splitlines():
                yield from commands_of_line(line)
    prose = re.sub(r"^ *```.*?```", "", text, flags=re.DOTALL | re.MULTILINE)
    for code in re.findall(r"`(d3gan [^`]*)`", prose):
        yield from commands_of_line(" ".join(code.split()))


ALL = sorted({(p.name, c) for p in PAGES for c in commands_of_page(p.read_text("utf-8"))})
PLACEHOLDER = re.compile(r"\.\.\.|\$|^[A-Z]{2,}$|^\[")
"""Words that stand for others, which a parser would refuse."""


@cache
def with_values(command: str) -> set[str]:
    """Return the flags of a command that take a value."""
    return {flag.name for flag in flags_of_commands()[command] if not flag.is_switch}


def check(arguments: tuple[str, ...]) -> None:
    """Parse a command. Raises AssertionError if it does not exist, or has a wrong flag."""
    command, *words = arguments
    assert command in COMMANDS or command.startswith("-"), command
    words = ["-" if word == "FILE" else word for word in words]
    words = words[: next((k for k, w in enumerate(words) if PLACEHOLDER.search(w)), len(words))]
    if command == "train":  # the flags do not depend on what is trained
        known = words[:1] and words[0] in presets()
        words = [words[0] if known else "demo-d3gan", *words[1:]]
    if words and words[-1] in with_values(command):  # the value is a placeholder, or left out
        words.pop()
    if not words:
        return  # the name of a command, or `d3gan bench ...`
    try:
        status = main([command, *words])
    except Parsed:
        return
    except SystemExit as end:  # --help
        status = int(end.code or 0)
    assert status == 0, arguments


@pytest.fixture(autouse=True)
def _stop_after_parsing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    parse = tyro.cli

    def parse_only(*values: Any, **named: Any) -> None:
        parse(*values, **named)
        raise Parsed

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tyro, "cli", parse_only)


def test_the_pages_have_commands() -> None:
    assert len(ALL) > 40
    assert {page for page, _ in ALL} > {"README.md", "studies.md", "distributed.md"}


@pytest.mark.parametrize(
    ("page", "arguments"), ALL, ids=lambda x: x if isinstance(x, str) else " ".join(x)
)
def test_commands_and_flags_exist(page: str, arguments: tuple[str, ...]) -> None:
    check(arguments)


@pytest.mark.parametrize(
    "line", ["d3gan trian x", "d3gan sample RUN --nope 3", "d3gan train mnist-d3gan --gan.nope 3"]
)
def test_wrong_commands_are_found(line: str) -> None:
    ((arguments),) = commands_of_line(line)
    with pytest.raises(AssertionError):
        check(tuple(word.replace("RUN", "runs/x") for word in arguments))
