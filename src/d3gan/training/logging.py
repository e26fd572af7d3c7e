"""What training tells of itself: rows of metrics.jsonl and TensorBoard."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from d3gan.gan.step import Losses
from d3gan.runs import RunFolder, writing
from d3gan.training import distributed
from d3gan.training.usage import cuda_utilisation, peak_memory_bytes


class Clock:
    """Time spent in training; stopped while the run samples, saves or evaluates."""

    def __init__(self, seconds: float) -> None:
        self._before, self._computing_before = seconds, 0.0
        self._since: tuple[float, float] | None = self._now()

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    @property
    def seconds(self) -> float:
        """Over all sessions of the run."""
        return self._before + (self._now()[0] - self._since[0] if self._since else 0.0)

    @property
    def computing_seconds(self) -> float:
        """Computing time of this process, of all its threads, in this session."""
        return self._computing_before + (self._now()[1] - self._since[1] if self._since else 0.0)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stand still for the block."""
        self._before, self._computing_before = self.seconds, self.computing_seconds
        self._since = None
        try:
            yield
        finally:
            self._since = self._now()


class NonFinite(Exception):
    """A loss or a weight was infinite or not a number, first at this step."""

    def __init__(self, step: int, what: str) -> None:
        super().__init__(what)
        self.step = step


class Recorder:
    """Collects the losses of steps on the device and reads them in bulk, so no step waits."""

    def __init__(
        self,
        run: RunFolder,
        step: int,
        *,
        clock: Clock,
        images_per_step: int,
        epoch_images: int,
        selects: bool,
        device: torch.device,
    ) -> None:
        self.run, self.clock, self.device = run, clock, device
        self.images_per_step, self.epoch_images = images_per_step, epoch_images
        self.selects = selects
        self._steps: list[Losses] = []
        self._last_step, self._last_seconds = step, clock.seconds
        self._last_computing = clock.computing_seconds
        self._board: SummaryWriter | None = None
        with distributed.raise_together():
            if distributed.is_main():
                with writing(run.path):
                    self._board = SummaryWriter(str(run.path), purge_step=step + 1)

    def add(self, losses: Losses) -> None:
        self._steps.append(losses)

    def flush(self) -> dict[str, Any] | None:
        """Write a row for the steps since the last one, and return it (None if there are none).

        All ranks call it together. Raises NonFinite, and writes nothing, if a loss is not finite;
        raises UserError if the disk refuses.
        """
        if not self._steps:
            return None
        names = list(self._steps[0])
        columns = [torch.stack([losses[name] for losses in self._steps]) for name in names]
        packed = torch.cat([column.reshape(len(column), -1) for column in columns], dim=1)
        table = distributed.mean_over_ranks(packed.double()).cpu()
        step = self._last_step + len(self._steps)
        if not table.isfinite().all():
            bad = int((~table.isfinite().all(dim=1)).nonzero()[0])
            first = self._last_step + bad + 1
            raise NonFinite(first, f"loss not finite at step {first}")
        parts = table.split([losses.numel() for losses in self._steps[0].values()], dim=1)
        scalars = {name for name, losses in self._steps[0].items() if losses.ndim == 0}
        row = self._row(step, dict(zip(names, parts, strict=True)), scalars)
        self._steps.clear()
        self._last_step, self._last_seconds = step, self.clock.seconds
        self._last_computing = self.clock.computing_seconds
        with distributed.raise_together():
            if distributed.is_main():
                self.run.append_metrics([row])
                self._to_board(row)
        return row

    def evaluated(self, row: dict[str, Any]) -> None:
        """Write a row of metrics. All ranks call it together."""
        with distributed.raise_together():
            if distributed.is_main():
                self.run.append_metrics([row])
                assert self._board
                for name, value in row.items():
                    if isinstance(value, float):
                        self._board.add_scalar(f"eval/{name}", value, row["step"])

    def _row(self, step: int, steps: dict[str, torch.Tensor], scalars: set[str]) -> dict[str, Any]:
        """Return the row for some steps: means of what each step reports, by the same names."""
        means = {name: table.mean(dim=0).tolist() for name, table in steps.items()}
        losses = {name: mean[0] if name in scalars else mean for name, mean in means.items()}
        chosen = steps["weights"].argmax(dim=1).tolist() if self.selects else None
        images, seconds = step * self.images_per_step, self.clock.seconds
        interval = (step - self._last_step) * self.images_per_step
        return {
            "kind": "train",
            "step": step,
            "images": images,
            "epoch": images / self.epoch_images,
            "train_seconds": seconds,
            **losses,
            "chosen": chosen,
            "images_per_second": interval / max(seconds - self._last_seconds, 1e-9),
            "peak_memory_bytes": peak_memory_bytes(self.device),
            "utilisation": self._utilisation(seconds - self._last_seconds),
        }

    def _utilisation(self, seconds: float) -> float | None:
        """Of the device since the last row, from 0 to 1: on CUDA by NVML, which looks back for less
        than a second; on the CPU computing time over wall time and threads."""
        if self.device.type == "cuda":
            return cuda_utilisation(self.device)
        computing = self.clock.computing_seconds - self._last_computing
        return computing / max(seconds, 1e-9) / torch.get_num_threads()

    def diverged(self, step: int, what: str) -> None:
        """Write the row that says so. All ranks call it together."""
        images = step * self.images_per_step
        row = {
            "kind": "diverged",
            "step": step,
            "images": images,
            "epoch": images / self.epoch_images,
            "train_seconds": self.clock.seconds,
            "what": what,
        }
        with distributed.raise_together():
            if distributed.is_main():
                self.run.append_metrics([row])

    def _to_board(self, row: dict[str, Any]) -> None:
        assert self._board
        for name, value in row.items():
            if isinstance(value, float):
                self._board.add_scalar(name, value, row["step"])
            elif name != "chosen" and isinstance(value, list):
                for k, number in enumerate(value):
                    self._board.add_scalar(f"{name}/{k}", number, row["step"])

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._board:
            self._board.close()
