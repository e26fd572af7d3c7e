import shlex
import subprocess
import sys

import pytest

from d3gan.shell import command_line


def test_a_shell_reads_the_words_again() -> None:
    words = ["train", "my runs/a b", "it's", "--gan.aggregation", "softmax(temperature=0.5)"]
    assert shlex.split(command_line(*words)) == ["d3gan", *words]


def test_windows_has_its_own_quotes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert command_line("train", "my run") == 'd3gan train "my run"'
    assert command_line("train", "it's") == subprocess.list2cmdline(["d3gan", "train", "it's"])
