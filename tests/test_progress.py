import pytest

from d3gan import progress


def test_lines_are_printed_without_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with progress.progress_bar("training", 10, done=7) as bar:
        bar.advance()
        bar.advance(0, "D 1.00")
        bar.advance(2)
    lines = capsys.readouterr().err.splitlines()
    assert [line.rstrip() for line in lines] == [
        "training 8/10", "training 8/10 D 1.00", "training 10/10 D 1.00",
    ]  # fmt: skip


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
