from collections.abc import Iterator

import pytest

from d3gan import messages, progress


@pytest.fixture
def _normal_verbosity() -> Iterator[None]:
    yield
    messages.set_verbosity(messages.Verbosity.NORMAL)


def test_lines_are_printed_without_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with progress.progress_bar("training", 10, done=7) as bar:
        bar.advance()
        bar.advance(0, "D 1.00")
        bar.advance(2)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "training 8/10, about 0 s left",
        "training 8/10, D 1.00, about 0 s left",
        "training 10/10, D 1.00",
    ]


def test_the_remaining_time_is_that_of_the_rate_since_this_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 60.0, 120.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.progress_bar("training", 1000, done=500) as bar:
        bar.advance(0, "evaluating")
        bar.advance(10)
    assert capsys.readouterr().err.splitlines() == [
        "training 500/1000, evaluating",
        "training 510/1000, evaluating, about 1 h 38 min left",
    ]


@pytest.mark.usefixtures("_normal_verbosity")
def test_nothing_is_shown_if_the_program_is_quiet(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    messages.set_verbosity(messages.Verbosity.QUIET)
    with progress.progress_bar("training", 10) as bar:
        bar.advance(10, "D 1.00")
    assert capsys.readouterr().err == ""


def test_short_work_prints_nothing_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress_bar("training", 10) as bar:
        bar.advance(10)
    with progress.progress_bar("training", 10, silent=True) as bar:
        bar.advance(10, "not shown")
    assert capsys.readouterr().err == ""


def test_a_bar_is_shown_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    with progress.progress_bar("training", 10) as bar:
        bar.advance(10, "D 1.00")
    output = capsys.readouterr().err
    assert "training" in output
    assert "10/10" in output
    assert "D 1.00" in output
