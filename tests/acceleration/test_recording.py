"""Recording a CUDA graph, and what happens if that fails, with a stand-in for the device."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.acceleration.fake_cuda import FakeCuda
from tests.small_networks import make_discriminators
from torch import Tensor
from torch.optim import Adam

from d3gan.acceleration import cuda_graph
from d3gan.acceleration.cuda_graph import WARM_UP, GraphedFunction, fastest_way
from d3gan.errors import ProcessesLost


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    monkeypatch.setattr(cuda_graph, "_side_streams", {})
    return FakeCuda(monkeypatch)


class Work:
    """A function that counts its calls, and raises `error` while it is recorded."""

    def __init__(self, cuda: FakeCuda, error: Callable[[], Exception] | None = None) -> None:
        self.cuda, self.error = cuda, error
        self.streams: list[Any] = []
        self.recordings = 0

    def __call__(self) -> dict[str, Tensor]:
        if self.cuda.recording:
            self.recordings += 1
            if self.error:
                raise self.error()
        self.streams.append(self.cuda.stream)
        return {"calls": torch.tensor(len(self.streams))}


def test_it_is_warmed_up_recorded_once_and_replayed(cuda: FakeCuda) -> None:
    work, reasons = Work(cuda), []
    graphed = GraphedFunction(work, lambda reason: bool(reasons.append(reason)))
    results = [graphed() for _ in range(WARM_UP + 4)]
    assert len(work.streams) == WARM_UP + 1
    assert work.recordings == 1
    assert len(set(work.streams)) == 1, "warmed up and recorded on one stream"
    assert work.streams[0] is cuda_graph.side_stream() is not cuda.default
    assert graphed._graph is not None
    assert graphed._graph.replays == 4
    assert results[-1]["calls"] is not results[-2]["calls"], "a replay overwrites the graph's own"
    assert reasons == [""]
    assert cuda.modes == ["thread_local"]
    assert cuda.stream is cuda.default
    assert not cuda.ended


def test_graphs_are_released(cuda: FakeCuda) -> None:
    work = Work(cuda)
    graphed = GraphedFunction(work, bool)
    for _ in range(WARM_UP + 2):
        graphed()
    graph: Any = graphed._graph
    cuda_graph.release_graphs()
    assert graph.was_reset
    graphed()
    assert graph.replays == 2
    assert len(work.streams) == WARM_UP + 2, "computed without the graph"


@pytest.mark.parametrize("end_fails", [True, False])
@pytest.mark.parametrize("lost", [False, True])
def test_a_failure_leaves_everything_as_it_was(cuda: FakeCuda, end_fails: bool, lost: bool) -> None:
    def error() -> Exception:
        if not lost:
            return RuntimeError("no such kernel\nin a graph")
        made = ProcessesLost("rank 0 lost the others")
        made.__context__ = RuntimeError("no such kernel")
        return made

    cuda.end_fails = end_fails
    work, reasons = Work(cuda, error), []
    graphed = GraphedFunction(work, lambda reason: bool(reasons.append(reason) or reason))
    for _ in range(WARM_UP + 3):
        graphed()
        assert cuda.stream is cuda.default
    assert reasons == ["no such kernel"], "the root cause, on one line"
    assert work.recordings == 1
    assert len(work.streams) == WARM_UP + 3, "it is computed without a graph"
    assert set(work.streams) == {cuda_graph.side_stream()}
    assert len(cuda.ended) == len(cuda.released) == 1


def test_a_graph_is_not_replayed_if_another_process_has_none(cuda: FakeCuda) -> None:
    work = Work(cuda)
    graphed = GraphedFunction(work, lambda reason: True)
    for _ in range(WARM_UP + 2):
        graphed()
    assert graphed._graph is None
    assert len(work.streams) == WARM_UP + 3


def test_lack_of_memory_is_raised(cuda: FakeCuda) -> None:
    work = Work(cuda, lambda: torch.OutOfMemoryError("CUDA out of memory"))
    graphed = GraphedFunction(work, lambda reason: pytest.fail(reason))
    for _ in range(WARM_UP):
        graphed()
    with pytest.raises(torch.OutOfMemoryError):
        graphed()
    assert cuda.stream is cuda.default


def test_optimizers_are_capturable_during_the_recording_only(cuda: FakeCuda) -> None:
    optimizer = Adam([torch.zeros(1, requires_grad=True)], fused=True)
    seen = []

    def work() -> dict[str, Tensor]:
        seen.append((cuda.recording, optimizer.param_groups[0]["capturable"]))
        return {}

    graphed = GraphedFunction(work, bool, optimizers=[optimizer])
    for _ in range(WARM_UP + 2):
        graphed()
    assert seen == [(False, False)] * WARM_UP + [(True, True)]
    assert not optimizer.param_groups[0]["capturable"]


@pytest.mark.parametrize(
    ("times", "way"),
    [
        ({"sequential": 3.0, "stacked": 1.0, "concurrent": 2.0}, "stacked"),
        ({"sequential": 3.0, "stacked": None, "concurrent": 2.0}, "concurrent"),
        ({"sequential": 3.0, "stacked": None, "concurrent": None}, "sequential"),
        ({"sequential": None, "stacked": None, "concurrent": None}, "sequential"),
    ],
)
@pytest.mark.parametrize("error", [torch.OutOfMemoryError, NotImplementedError, KeyError])
def test_a_way_that_fails_is_not_chosen(
    cuda: FakeCuda,
    monkeypatch: pytest.MonkeyPatch,
    times: dict[str, float | None],
    way: str,
    error: type[Exception],
) -> None:
    ensemble = make_discriminators("dcgan", 2)

    def milliseconds(work: object) -> float:
        found = times[ensemble.way]
        if found is None:
            raise error("in this way")
        return found

    monkeypatch.setattr(cuda_graph, "_milliseconds", milliseconds)
    assert fastest_way(ensemble, torch.zeros(2, 3, 16, 16), None) == way
    assert cuda.emptied == list(times.values()).count(None)


def test_a_way_that_cannot_be_recorded_is_refused(cuda: FakeCuda) -> None:
    with pytest.raises(RuntimeError, match="no such kernel"):
        cuda_graph._milliseconds(Work(cuda, lambda: RuntimeError("no such kernel")))
