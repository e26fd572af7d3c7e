"""The fast engine with the whole step as one CUDA graph: launched once, not kernel by kernel.

A graph is recorded once and replayed with the same tensors, so everything that differs between
steps lies in one of them: what the batches are made of, the number of the step (from which noise
and draws follow), the learning rates, and the weight of the average.
"""

import sys
from collections.abc import Callable
from typing import Any, get_args

import torch
from torch import Tensor

from d3gan.config import Config
from d3gan.gan.step import StepLosses, train_step
from d3gan.images import Images
from d3gan.networks.ensemble import Way
from d3gan.training.engines.fast import FastEngine
from d3gan.training.state import State

WAYS: tuple[Way, ...] = get_args(Way)

STEPS_BEFORE = 3
"""Steps of training that are launched kernel by kernel, on a stream of their own, before the graph
is recorded: libraries allocate and choose in them, which a graph must not."""


REPEATED = 20
"""Replays of which the time is taken."""


def _milliseconds(work: Callable[[], None]) -> float:
    """Of one replay of `work`, which is launched on a stream of its own before it is recorded."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(STEPS_BEFORE):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    graph.replay()
    start.record()
    for _ in range(REPEATED):
        graph.replay()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / REPEATED


class GraphedEngine(FastEngine):
    """One process on CUDA. On other devices it computes the same and records nothing."""

    def __init__(self, config: Config, state: State, images: Images, device: torch.device) -> None:
        super().__init__(config, state, images, device)
        if device.type == "cuda" and not config.train.deterministic:
            state.discriminators.way = self._fastest_way()
        self._launched = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._losses: StepLosses | None = None
        self._number = torch.zeros((), dtype=torch.int64, device=device)
        self._decay = torch.zeros((), dtype=self.dtype, device=device)
        self._inputs: list[tuple[Tensor, Tensor | None]] = []
        # The fused kernel of CUDA reads a rate that lies on the device as a float32.
        precision = torch.float32 if device.type == "cuda" else torch.float64
        for optimizer in (state.optimizer_g, state.optimizer_d):
            for group in optimizer.param_groups:
                group["lr"] = torch.tensor(group["lr"], dtype=precision, device=device)

    def _fastest_way(self) -> Way:
        """Which way the discriminators run fastest here: forwards and back, as a graph.

        It may be another one when the run goes on, and so may rounding: `train.deterministic` keeps
        to one.
        """
        discriminators = self.state.discriminators
        if len(discriminators) == 1:
            return "in turn"
        data = self.config.data
        shape = (len(self.shard), data.channels, data.resolution, data.resolution)
        images = torch.zeros(shape, dtype=self.dtype, device=self.device)
        weights = list(discriminators.parameters())

        def work() -> None:
            torch.autograd.grad(discriminators(images, images).sum(), weights)

        milliseconds: dict[Way, float] = {}
        for way in WAYS:
            discriminators.way = way
            milliseconds[way] = _milliseconds(work)
        return min(milliseconds, key=lambda way: milliseconds[way])

    def set_rate(self, group: dict[str, Any], rate: float) -> None:
        group["lr"].fill_(rate)

    def advance(self, step: int, decay: float) -> StepLosses:
        self._number.fill_(step)
        self._decay.fill_(decay)
        self._gather(step)
        if self.device.type != "cuda":
            return self._whole_step()
        self._launched += 1
        if self._launched == STEPS_BEFORE + 1:
            self._record()
        if self._graph is None:
            return self._launch()
        self._graph.replay()
        assert self._losses is not None
        return StepLosses(*(loss.clone() for loss in self._losses))

    def _record(self) -> None:
        """Record the step, without computing it; say so if that cannot be done."""
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._losses = self._whole_step()
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            print(
                f"d3gan: warning: this step cannot be recorded as a CUDA graph ({reason}); "
                "training goes on kernel by kernel, slower",
                file=sys.stderr,
            )
            return
        self._graph = graph

    def _gather(self, step: int) -> None:
        """Put what the batches are made of where the graph looks for it, without waiting."""
        for place, batch in enumerate(self.batches(step)):
            new = self.real.gathered(batch)
            if place == len(self._inputs):
                what, mirrored = (None if x is None else x.to(self.device) for x in new)
                assert what is not None
                self._inputs.append((what, mirrored))
                continue
            for old, x in zip(self._inputs[place], new, strict=True):
                if old is not None and x is not None:
                    x = x.pin_memory() if self.device.type == "cuda" else x
                    old.copy_(x, non_blocking=True)

    def _launch(self) -> StepLosses:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            losses = self._whole_step()
        torch.cuda.current_stream().wait_stream(stream)
        return losses

    def _whole_step(self) -> StepLosses:
        """All that a graph holds: it asks the device nothing."""
        each = self.config.gan.discriminator_steps
        batches = [
            (self.real.images(*inputs), self.noise(self._number * each + place))
            for place, inputs in enumerate(self._inputs)
        ]
        losses = train_step(self.game, batches, self.draws(self._number))
        self.average(self._decay)
        return losses
