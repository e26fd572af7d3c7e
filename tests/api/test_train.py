"""Training from Python: runs as objects, callbacks, interruptions, threads."""

import asyncio
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

import d3gan
from d3gan import extras
from d3gan.config import Config
from d3gan.training import trainer


def test_a_run_is_an_object_and_a_path(tiny: Config) -> None:
    run = d3gan.train(tiny, {"train.epochs": 1})
    assert run.path == tiny.run_dir
    assert Path(run) == run.path
    assert os.fspath(run) == str(run.path)
    assert run == d3gan.Run(run.path)
    assert (run.status.state, run.status.step, run.status.total_steps) == ("finished", 5, 5)
    assert run.config.train.epochs == 1
    assert [row["step"] for row in run.metrics()] == [3, 5]
    assert run.metrics("eval") == []
    assert run.report is None
    assert [path.name for path in run.samples] == ["step-00000000.png", "step-00000005.png"]
    assert run.checkpoints == [5]
    assert repr(run) == f"<Run {str(run.path)!r}, finished at step 5 of 5>"


def test_a_run_is_resumed(tiny: Config) -> None:
    run = d3gan.train(tiny, {"train": {"epochs": 1}})
    assert d3gan.train(run, {"train.epochs": 2}) == run
    assert run.status.step == 10
    images = d3gan.load(run).sample(3, seed=1)
    assert np.array_equal(images, d3gan.load(run.path, 10).sample(3, seed=1))
    with pytest.raises(d3gan.UserError, match="seed = 3: cannot change when a run is resumed"):
        d3gan.train(run, {"seed": 3})
    with pytest.raises(d3gan.UserError, match="there is no run at"):
        d3gan.Run(run.path / "elsewhere")


def test_images_in_memory(tiny: Config) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 3, 16, 16), np.uint8)
    run = d3gan.train(tiny, {"train.epochs": 1}, data=(images, np.arange(40) % 4))
    assert run.config.data.source.startswith("in-memory:")
    d3gan.train(run, {"train.epochs": 2})
    d3gan.train(run, {"train.epochs": 3}, data=(images, np.arange(40) % 4))
    assert run.metrics()[-1]["epoch"] == 3
    with pytest.raises(d3gan.UserError, match=r"data\.source"):
        d3gan.train(run, data=255 - images)


def test_a_frame(tiny: Config) -> None:
    pd = pytest.importorskip("pandas", reason="the extra frames is not installed")
    run = d3gan.train(tiny)
    frame = run.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert frame["step"].tolist() == [3, 5, 6, 9, 10]
    assert run.to_frame("eval").empty


def test_frames_without_pandas(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    run = d3gan.train(tiny, {"train.epochs": 0.2})
    monkeypatch.setattr(extras, "version", lambda package: "1.5.3")
    with pytest.raises(d3gan.UserError, match=r"to_frame needs pandas .*'d3gan\[frames\]'"):
        run.to_frame()


def test_a_callback_sees_every_row_and_may_stop(tiny: Config) -> None:
    seen: list[tuple[int, int, str]] = []

    def watch(progress: d3gan.Progress) -> None:
        seen.append((progress.step, progress.total_steps, progress.row["kind"]))
        assert progress.run.metrics()[-1] == progress.row
        if progress.step == 5:
            progress.stop()

    run = d3gan.train(tiny, callback=watch)
    assert seen == [(3, 10, "train"), (5, 10, "train")]
    assert (run.status.state, run.status.step, run.checkpoints) == ("stopped_early", 5, [5])
    assert d3gan.train(run).status.state == "finished"


def test_an_exception_of_the_callback_leaves_a_checkpoint(tiny: Config) -> None:
    def fail(progress: d3gan.Progress) -> None:
        raise ZeroDivisionError(f"at {progress.step}")

    with pytest.raises(ZeroDivisionError, match="at 3"):
        d3gan.train(tiny, callback=fail)
    run = d3gan.Run(tiny.run_dir)
    assert (run.status.state, run.checkpoints) == ("failed", [3])
    assert "ZeroDivisionError: at 3" in run.status.message


def interrupt(progress: d3gan.Progress) -> None:
    if progress.step == 3:
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_leaves_a_checkpoint_and_the_signal_handler(tiny: Config) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt, match="interrupted at step 4 of 10") as raised:
        d3gan.train(tiny, callback=interrupt)
    assert isinstance(raised.value, d3gan.Interrupted)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    run = d3gan.Run(tiny.run_dir)
    assert (run.status.state, run.checkpoints) == ("interrupted", [4])
    assert d3gan.train(run).status.state == "finished"


def test_training_in_a_thread_and_in_an_event_loop(tiny: Config) -> None:
    """A notebook runs cells in an event loop; a server would use a thread."""
    ended: list[d3gan.Run] = []

    async def main() -> None:
        ended.append(d3gan.train(tiny, {"name": "in-a-loop"}))
        ended.append(await asyncio.to_thread(d3gan.train, tiny, {"name": "in-a-thread"}))

    asyncio.run(main())
    assert [run.status.state for run in ended] == ["finished", "finished"]
    assert threading.current_thread() is threading.main_thread()


def test_settings_of_torch_stay(tiny: Config) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    threads = torch.get_num_threads()
    d3gan.train(tiny, {"train.epochs": 0.2, "train.deterministic": True})
    assert torch.equal(torch.rand(2), expected)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_diverged_run_is_an_error(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*arguments: object, **options: object) -> None:
        raise d3gan.Diverged("loss not finite at step 3")

    monkeypatch.setattr(trainer, "train", diverge)
    with pytest.raises(d3gan.UserError, match="loss not finite"):
        d3gan.train(tiny)
