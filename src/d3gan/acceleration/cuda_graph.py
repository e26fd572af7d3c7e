"""A function of fixed tensors as one CUDA graph: launched once instead of kernel by kernel."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, get_args
from weakref import WeakSet

import torch
from torch import Tensor
from torch.optim import Optimizer

from d3gan.errors import ProcessesLost
from d3gan.networks.ensemble import Ensemble, Way

WAYS: tuple[Way, ...] = get_args(Way)

WARM_UP = 3
"""Calls that are launched kernel by kernel, on the side stream, before the graph is recorded:
libraries allocate memory and choose algorithms in them, which a graph must not do."""

WARM_UP_WITH_REDUCTIONS = 11
"""The same if DistributedDataParallel reduces gradients in the function: it times its first ten
iterations, which a graph must not do (PyTorch's notes on CUDA graphs require 11)."""

REPEATED = 20
"""Replays that are timed."""

_side_streams: dict[int, torch.cuda.Stream] = {}


def side_stream() -> torch.cuda.Stream:
    """Return the stream of the current device on which functions are warmed up and recorded.

    It is one and the same during the life of the process, because autograd computes a parameter's
    gradient on the stream on which the parameter was first used, and the memory of a stream is not
    reused by others.
    """
    device = torch.cuda.current_device()
    if device not in _side_streams:
        _side_streams[device] = torch.cuda.Stream()
    return _side_streams[device]


@contextmanager
def on_side_stream() -> Iterator[None]:
    """Make the side stream the current one within the block, in order with the work around it.

    The stream before is current again afterwards, whatever happens: `torch.cuda.graph` leaves its
    own one behind where a recording cannot be ended.
    """
    before, side = torch.cuda.current_stream(), side_stream()
    side.wait_stream(before)
    torch.cuda.set_stream(side)
    try:
        yield
    finally:
        torch.cuda.set_stream(before)
        before.wait_stream(side)


class GraphedFunction:
    """Calls `work` directly at first, then records it as a CUDA graph and replays it.

    `work` reads from and writes to tensors that stay in place; it returns tensors by name. It may
    make steps of `optimizers`. After the recording, `gives_up` is called with the reason why it
    failed ("" if it did not), and returns whether to call `work` directly from then on.
    """

    def __init__(
        self,
        work: Callable[[], dict[str, Tensor]],
        gives_up: Callable[[str], bool],
        *,
        optimizers: Sequence[Optimizer] = (),
        warm_up: int = WARM_UP,
    ) -> None:
        self.work, self.gives_up = work, gives_up
        self.optimizers, self.warm_up = optimizers, warm_up
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._result: dict[str, Tensor] = {}

    def __call__(self) -> dict[str, Tensor]:
        self._calls += 1
        if self._calls == self.warm_up + 1:
            self._record()
        if self._graph is None:
            with on_side_stream():
                return self.work()
        self._graph.replay()
        return {name: tensor.clone() for name, tensor in self._result.items()}

    def _record(self) -> None:
        """Record the graph without computing it. Raises torch.OutOfMemoryError."""
        graph, pool, reason = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle(), ""
        try:
            with (
                on_side_stream(),
                capturable(self.optimizers),
                # Other threads pin memory and query events meanwhile: of the loader, and of NCCL.
                torch.cuda.graph(
                    graph, pool=pool, stream=side_stream(), capture_error_mode="thread_local"
                ),
            ):
                result = self.work()
        except (RuntimeError, ProcessesLost) as error:  # the latter: a collective was refused
            _end_allocation(pool)
            cause = root_cause(error)
            if isinstance(cause, torch.OutOfMemoryError):
                raise cause from None
            reason = next(iter(str(cause).splitlines()), type(cause).__name__)
        if self.gives_up(reason):
            graph.reset()
            return
        self._graph, self._result = graph, result
        _recorded.add(self)

    def release(self) -> None:
        """Destroy the graph; further calls compute `work` directly."""
        if self._graph is not None:
            self._graph.reset()
        self._graph, self._result = None, {}


_recorded: "WeakSet[GraphedFunction]" = WeakSet()


def release_graphs() -> None:
    """Destroy all graphs of this process: NCCL's communicators last as long as graphs use them."""
    for function in list(_recorded):
        function.release()


@contextmanager
def capturable(optimizers: Sequence[Optimizer]) -> Iterator[None]:
    """Allow the optimizers' steps to be recorded within the block.

    Fused optimizers keep their counter of steps on the device in any case, so the flag changes
    nothing but torch's check; outside of a recording, torch warns if it is set.
    """
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    before = [group["capturable"] for group in groups]
    for group in groups:
        group["capturable"] = True
    try:
        yield
    finally:
        for group, value in zip(groups, before, strict=True):
            group["capturable"] = value


def root_cause(error: BaseException) -> BaseException:
    """Return the error that came first: ending a failed recording raises one of its own."""
    while error.__context__ is not None:
        error = error.__context__
    return error


def _end_allocation(pool: Any) -> None:
    """Let the allocator leave the pool of a recording that failed.

    If the recording could not be ended, torch neither ends the allocation from the pool nor
    releases it (pytorch issues 180395 and 190348); otherwise it has done so and refuses.
    """
    device = torch.cuda.current_device()
    with suppress(AttributeError, RuntimeError):
        torch._C._cuda_endAllocateToPool(device, pool)
        torch._C._cuda_releasePool(device, pool)


def fastest_way(discriminators: Ensemble, images: Tensor, labels: Tensor | None) -> Way:
    """Return the way in which the discriminators run fastest, forward and backward, as a graph.

    A way that fails, for lack of memory for example, is not chosen.
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
        try:
            milliseconds[way] = _milliseconds(work)
        except Exception:  # what fails in a way depends on the network and on torch
            torch.cuda.empty_cache()
    for buffer, before in zip(discriminators.buffers(), buffers, strict=True):
        buffer.copy_(before)  # the measurement must not train
    return min(milliseconds, key=lambda way: milliseconds[way], default="sequential")


def _milliseconds(work: Callable[[], dict[str, Tensor]]) -> float:
    """Return the time of one replay of `work`, in milliseconds. Raises RuntimeError."""
    graphed = GraphedFunction(work, _refuse)
    for _ in range(WARM_UP + 2):
        graphed()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(REPEATED):
        graphed()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / REPEATED


def _refuse(reason: str) -> bool:
    if reason:
        raise RuntimeError(reason)
    return False
