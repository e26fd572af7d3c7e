"""A function that is called with every row may stop training, and may fail."""

from collections.abc import Mapping
from typing import Any

import pytest

from d3gan.config import Config
from d3gan.errors import Interrupted
from d3gan.runs import RunFolder
from d3gan.training import trainer
from d3gan.training.logging import Clock

Row = Mapping[str, Any]


def state_and_step(config: Config) -> tuple[str, int]:
    status = RunFolder(config.run_dir).status()
    assert status
    return status.state, status.step


def test_it_gets_every_row(measured: Config, quick_classifier: None) -> None:
    heard: list[Row] = []
    run = trainer.train(measured, on_row=lambda row: heard.append(row) or False)  # type: ignore[func-returns-value]
    assert [dict(row) for row in heard] == run.metrics()
    assert {"train", "eval", "report"} == {row["kind"] for row in heard}


def test_it_stops_training_with_a_checkpoint(tiny: Config) -> None:
    run = trainer.train(tiny, on_row=lambda row: row["step"] == 6)
    assert state_and_step(tiny) == ("stopped_early", 6)
    assert run.checkpoint_file(6).is_file()
    assert run.sample_file(6).is_file()
    status = run.status()
    assert status
    assert "stopped early at step 6 of 10" in status.message
    assert "the callback asked for it" in status.message
    trainer.train(tiny, resume=True)
    assert state_and_step(tiny) == ("finished", 10)


def fail_at(step: int, error: BaseException) -> Any:
    def on_row(row: Row) -> bool:
        if row["step"] == step:
            raise error
        return False

    return on_row


@pytest.mark.parametrize("error", [ValueError("no more colours"), SystemExit(3)], ids=type)
def test_what_it_raises_leaves_a_checkpoint(tiny: Config, error: BaseException) -> None:
    with pytest.raises(type(error)) as raised:
        trainer.train(tiny, on_row=fail_at(3, error))
    assert raised.value is error
    assert state_and_step(tiny) == ("failed", 3)
    run = trainer.train(tiny, resume=True)
    assert state_and_step(tiny) == ("finished", 10)
    assert [row["step"] for row in run.metrics()] == [3, 5, 6, 9, 10]


def test_an_error_at_the_last_row_is_raised(measured: Config, quick_classifier: None) -> None:
    def on_row(row: Row) -> bool:
        if row["kind"] == "report":
            raise ValueError("at the report")
        return False

    with pytest.raises(ValueError, match="at the report"):
        trainer.train(measured, on_row=on_row)
    assert RunFolder(measured.run_dir).checkpoint_file(8).is_file()


def test_interrupted_is_no_ordinary_error() -> None:
    error = Interrupted(2, "interrupted at step 3")
    assert isinstance(error, KeyboardInterrupt)
    assert not isinstance(error, Exception)


def test_the_time_of_the_function_does_not_count() -> None:
    clock = Clock(5.0)
    with clock.paused():
        with clock.paused():
            pass
        before = clock.seconds
        assert clock.seconds == before  # still paused after the inner block
    assert clock.seconds > before
