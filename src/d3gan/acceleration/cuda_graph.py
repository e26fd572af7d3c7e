"""A function of fixed tensors as one CUDA graph: launched once instead of kernel by kernel."""

import sys
from collections.abc import Callable
from typing import get_args

import torch
from torch import Tensor

from d3gan.networks.ensemble import Ensemble, Way

WAYS: tuple[Way, ...] = get_args(Way)

WARM_UP = 3
"""Calls that are launched kernel by kernel, on a side stream, before the graph is recorded:
libraries allocate memory and choose algorithms in them, which a graph must not do."""

REPEATED = 20
"""Replays that are timed."""


def _on_side_stream(work: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        result = work()
    torch.cuda.current_stream().wait_stream(stream)
    return result


class GraphedFunction:
    """Calls `work` directly at first, then records it as a CUDA graph and replays it.

    `work` reads from and writes to tensors that stay in place; it returns tensors by name.
    """

    def __init__(self, work: Callable[[], dict[str, Tensor]]) -> None:
        self.work = work
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._result: dict[str, Tensor] = {}

    def __call__(self) -> dict[str, Tensor]:
        self._calls += 1
        if self._calls == WARM_UP + 1:
            self._record()
        if self._graph is None:
            return _on_side_stream(self.work)
        self._graph.replay()
        return {name: tensor.clone() for name, tensor in self._result.items()}

    def _record(self) -> None:
        """Record the graph without computing it; print a warning if that is impossible."""
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._result = self.work()
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            print(
                f"d3gan: warning: the step cannot be recorded as a CUDA graph ({reason}); "
                "training continues without a graph, which is slower",
                file=sys.stderr,
            )
            return
        self._graph = graph


def fastest_way(discriminators: Ensemble, images: Tensor, labels: Tensor | None) -> Way:
    """Return the way in which the discriminators run fastest, forward and backward, as a graph.

    The result may differ when a run is resumed, and with it rounding; `train.deterministic` keeps
    the sequential way.
    """
    if len(discriminators) == 1:
        return "sequential"
    weights = list(discriminators.parameters())
    buffers = [buffer.clone() for buffer in discriminators.buffers()]

    def work() -> dict[str, Tensor]:
        torch.autograd.grad(discriminators(images, images, labels=labels).sum(), weights)
        return {}

    milliseconds: dict[Way, float] = {}
    for way in WAYS:
        discriminators.way = way
        milliseconds[way] = _milliseconds(work)
    for buffer, before in zip(discriminators.buffers(), buffers, strict=True):
        buffer.copy_(before)  # the measurement must not train
    return min(milliseconds, key=lambda way: milliseconds[way])


def _milliseconds(work: Callable[[], dict[str, Tensor]]) -> float:
    """Return the time of one replay of `work`, in milliseconds."""
    graphed = GraphedFunction(work)
    for _ in range(WARM_UP + 2):
        graphed()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(REPEATED):
        graphed()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / REPEATED
