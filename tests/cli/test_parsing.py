from typing import Any

import pytest

from d3gan.cli.parsing import config_flags


@pytest.mark.parametrize(
    ("line", "rest", "flags"),
    [
        ("--data.flip true x", "x", {"data.flip": True}),
        ("--data.flip false --data.flip", "", {"data.flip": True}),
        ("--data.no-flip --name true", "--name true", {"data.flip": False}),
        ("--train.shared-memory false", "", {"train.shared_memory": False}),
    ],
)
def test_switches_take_true_and_false(line: str, rest: str, flags: dict[str, Any]) -> None:
    assert config_flags(line.split(), lambda key: "." in key) == (rest.split(), flags)


def test_switches_for_other_parsers_have_no_value() -> None:
    rest, _ = config_flags(["--data.flip", "true", "--data.sharded", "false"], lambda key: False)
    assert rest == ["--data.flip", "--data.no-sharded"]


@pytest.mark.parametrize(
    ("line", "rest", "value"),
    [
        ("--gan.penalties r1 r2 --name x", "--name x", ["r1", "r2"]),
        ("--gan.penalties r1(gamma=1,x=2) r2", "", ["r1(gamma=1,x=2)", "r2"]),
        ("--gan.penalties=r1,r2 x", "x", ["r1", "r2"]),
        ("--gan.penalties r1 -o file", "-o file", ["r1"]),
        ("x --gan.penalties", "x", []),
        ("--gan.penalties --jobs 2", "--jobs 2", []),
    ],
)
def test_lists_take_all_words_up_to_the_next_flag(line: str, rest: str, value: list[str]) -> None:
    found = config_flags(line.split(), lambda key: "." in key)
    assert found == (rest.split(), {"gan.penalties": value})
