import pytest

from d3gan import messages


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], ["a note", "warning: a warning"]),
        (["-q"], []),
        (["--quiet"], []),
        (["-v"], ["a note", "warning: a warning", "a detail"]),
        (["--quiet", "--verbose"], ["a note", "warning: a warning", "a detail"]),
    ],
)
def test_the_flags_decide_what_is_printed(
    flags: list[str], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        assert messages.with_verbosity(["train", *flags, "demo"]) == ["train", "demo"]
        passed_on = messages.flags()
        messages.note("a note")
        messages.warn("a warning")
        messages.detail("a detail")
        messages.with_verbosity(passed_on)
        assert messages.flags() == passed_on
    finally:
        messages.with_verbosity([])
    assert capsys.readouterr().err.splitlines() == [f"d3gan: {line}" for line in expected]
    assert messages.flags() == []
