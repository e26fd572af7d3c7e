"""Help texts, and messages about wrong arguments."""

import re
from contextlib import suppress

import pytest

from d3gan.cli.main import COMMANDS, main
from d3gan.cli.mistakes import one_line


def help_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


PARSED = [["train", "demo-d3gan"], ["compare"], ["evaluate"], ["report"], ["sample"], ["export"],
          ["data", "show"], ["data", "prepare"], ["data", "classifier"], ["demo"], ["presets"],
          ["bench", "step"], ["bench", "data"], ["bench", "scaling"]]  # fmt: skip


@pytest.mark.parametrize("words", PARSED, ids=" ".join)
def test_help_texts_are_paragraphs_without_empty_defaults(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = help_of(capsys, *words)
    for noise in ("(default: '')", "(default: None)", "(default: )", "{None}"):
        assert noise not in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_a_help_text_is_one_paragraph(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    for words, text in {
        "sample": "by default grid.png, samples or samples.npz.",
        "report": "in the folder given if there is only one. With --format png:",
    }.items():
        assert text in help_of(capsys, words), words


@pytest.mark.parametrize("words", PARSED, ids=" ".join)
def test_every_flag_has_a_help_text(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    every = help_of(capsys, *words).splitlines()
    lines = [line.strip("│ ") for line in every if line.startswith("│")]
    flags = [i for i, line in enumerate(lines) if re.match(r"--?\w", line)]
    assert len(flags) > (60 if words[0] == "train" else 0)
    for i in flags:
        beside = re.split(r"\s{2,}", lines[i], maxsplit=1)[1:]
        text = beside[0] if beside else lines[i + 1]
        assert text[:1].isalnum() or text.startswith("/"), lines[i]


@pytest.mark.parametrize("command", [["data"], ["bench"], []], ids=str)
def test_commands_with_parts_describe_each(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with suppress(SystemExit):
        assert main([*command, "--help"]) == 0
    text = capsys.readouterr().out
    parts = {
        "data": ["list", "prepare", "show", "classifier"],
        "bench": ["step", "data", "scaling"],
    }
    for part in parts[command[0]] if command else COMMANDS:
        (line,) = [line for line in text.splitlines() if line.split()[:1] == [part]]
        assert len(line.split()) > 3, line
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("panel", "line"),
    [
        ("Unrecognized options: --sed, 3", "unknown flag --sed (did you mean --seed?)"),
        ("Unrecognized options: --zzz=3", "unknown flag --zzz"),
        ("Unrecognized options: --epochs, 3",
         "unknown flag --epochs (did you mean --train.epochs?)"),
        ("Unrecognized options: stray, 3", "unexpected argument 'stray'"),
        ("Missing from d3gan data show: SOURCE", "missing argument: SOURCE"),
        ("Error parsing -n/--count: invalid literal for int() with base 10: 'a b'",
         "-n/--count a b: must be an integer"),
        ("Something else.", "Something else"),
    ],
)  # fmt: skip
def test_messages_in_plain_words(panel: str, line: str) -> None:
    assert (
        one_line(f"│ {panel} │", ["--seed", "--train.epochs", "--checkpoint.every-epochs"]) == line
    )
