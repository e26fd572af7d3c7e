"""A step from tensors that stay in place, so that it can be recorded as a CUDA graph."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from d3gan.acceleration.cuda_graph import (
    WARM_UP,
    WARM_UP_WITH_REDUCTIONS,
    GraphedFunction,
    on_side_stream,
)
from d3gan.config import Config
from d3gan.data.loader import Prepared
from d3gan.gan.game import Losses
from d3gan.gan.schedules import SCHEDULES, Constant
from d3gan.messages import warn
from d3gan.training import distributed
from d3gan.training.build import Rules
from d3gan.training.distributed import DiscriminatorParallel
from d3gan.training.schedule import StepValues

if TYPE_CHECKING:
    from d3gan.training.engine import Engine


def is_recorded(
    config: Config, rules: Rules, parallel: DiscriminatorParallel, device: torch.device
) -> bool:
    """Return whether a step is recorded as a CUDA graph by default.

    The number of processes does not matter if NCCL reduces. A rule that sees gradients may compute
    its weights on the host, and Adam's fused kernel takes no tensor for beta2; steps with either
    are launched kernel by kernel.
    """
    by_gradients = rules.aggregation.gradients and config.gan.discriminators > 1
    on_device = _has_constant_beta2(config) and not by_gradients
    return device.type == "cuda" and parallel.is_recordable() and on_device


def _has_constant_beta2(config: Config) -> bool:
    return bool(SCHEDULES.build(config.optim.beta2_schedule) == Constant())


def wrapping(device: torch.device, *, recorded: bool) -> AbstractContextManager[None]:
    """Return the context in which networks are wrapped to reduce gradients over ranks.

    Where the step is recorded, that is the stream of the recording: a DistributedDataParallel keeps
    the stream on which it was made (PyTorch's notes on CUDA graphs require a side stream).
    """
    return on_side_stream() if recorded and device.type == "cuda" else nullcontext()


def _accept_streams_of_members() -> None:
    """Silence torch's warning that gradients come from other streams than they are reduced on.

    A DistributedDataParallel keeps the stream on which it was made, and concurrent members have
    streams of their own; both belong to the recording, so the order is right.
    """
    graph: Any = torch.autograd.graph
    if hasattr(graph, "set_warn_on_accumulate_grad_stream_mismatch"):  # not in torch 2.9
        graph.set_warn_on_accumulate_grad_stream_mismatch(False)


class StaticStep:
    """The inputs of a step: tensors that stay in place and are overwritten every step.

    On CUDA the step is recorded as a graph and replayed, unless `optim.beta2_schedule` forbids it.
    """

    def __init__(self, engine: Engine, shard: int) -> None:
        self.engine, state, device = engine, engine.state, engine.device
        config, cuda = engine.config, engine.device.type == "cuda"
        if state.discriminators.way == "concurrent" and state.parallel.size > 1:
            _accept_streams_of_members()
        self.number = torch.zeros((), dtype=torch.int64, device=device)
        each = config.batches_per_step
        self.batch_numbers = torch.zeros(each, dtype=torch.int64, device=device)
        self.latents = torch.zeros(
            (each, shard, config.model.latent_dim), dtype=engine.draws.dtype, device=device
        )
        self.ema_decay, self.penalty_factor = torch.zeros(
            2, dtype=engine.draws.dtype, device=device
        )
        self.augmentation_probability: Tensor | None = None
        if config.gan.skips_augmentations:
            self.augmentation_probability = torch.zeros((), dtype=torch.float64, device=device)
        self.inputs: list[Prepared] = []
        # CUDA's fused kernel reads a learning rate on the device as float32.
        precision = torch.float32 if cuda else torch.float64
        self.optimizers = (state.optimizer_g, state.optimizer_d)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = torch.tensor(float(group["lr"]), dtype=precision, device=device)
        self.graph: GraphedFunction | None = None
        if cuda and _has_constant_beta2(config):
            several = state.parallel.size > 1
            self.graph = GraphedFunction(
                self._whole_step,
                self._gives_up,
                optimizers=self.optimizers,
                warm_up=WARM_UP_WITH_REDUCTIONS if several else WARM_UP,
            )

    def step(self, step: int, values: StepValues) -> Losses:
        """Compute step number `step`."""
        self.number.fill_(step)
        self.ema_decay.fill_(values.ema_decay)
        self.penalty_factor.fill_(values.penalty_factor)
        if self.augmentation_probability is not None:
            assert values.augmentation_probability is not None
            self.augmentation_probability.fill_(values.augmentation_probability)
        for place, batch in enumerate(self.engine.batches()):
            self.batch_numbers[place].fill_(batch)
            # Drawn for many steps at once, which a graph of one step cannot do.
            self.latents[place].copy_(self.engine.draws.latents(batch))
            self._overwrite(place, self.engine.loader.prepare(batch))
        return self.graph() if self.graph else self._whole_step()

    def _overwrite(self, place: int, new: Prepared) -> None:
        device = self.engine.device
        if place == len(self.inputs):
            self.inputs.append(Prepared(*(None if x is None else x.to(device) for x in new)))  # type: ignore[arg-type]
            return
        for old, x in zip(self.inputs[place], new, strict=True):
            if old is not None and x is not None:
                x = x.pin_memory() if device.type == "cuda" else x
                old.copy_(x, non_blocking=True)

    def _whole_step(self) -> Losses:
        """Compute the step from the tensors in place, without a synchronisation."""
        engine = self.engine
        batches = [
            engine.draws.batch(
                self.batch_numbers[place],
                engine.normalised(inputs.source, inputs.mirrored),
                inputs.labels,
                self.augmentation_probability,
                latents=self.latents[place],
            )
            for place, inputs in enumerate(self.inputs)
        ]
        return engine._update(self.number, batches, self.ema_decay, self.penalty_factor)

    def _gives_up(self, reason: str) -> bool:
        """Return whether no rank replays a graph, because one of them failed to record it."""
        parallel = self.engine.state.parallel
        reason = parallel.first_reason(reason)
        if not reason:
            return False
        if distributed.is_main():
            warn(
                f"the step cannot be recorded as a CUDA graph ({reason}); training continues "
                "without a graph, which is slower"
            )
        for optimizer in self.optimizers:
            optimizer.zero_grad()  # gradients may lie in the graph's memory
        parallel.forget_unfinished(*self.engine.wrapped)
        return True
