"""Makes rows of training metrics, and writes them to metrics.jsonl and the loggers."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from d3gan.config import Config
from d3gan.files import writing
from d3gan.gan.game import Losses
from d3gan.images import save_picture
from d3gan.run_status import state_after
from d3gan.runs import RunFolder
from d3gan.training import distributed
from d3gan.training.tracking import Tracking
from d3gan.training.usage import cuda_utilisation, peak_memory_bytes


class Clock:
    """Measures the time spent in training; paused while the run samples, evaluates or saves."""

    def __init__(self, seconds: float) -> None:
        self._before, self._cpu_before = seconds, 0.0
        self._since: tuple[float, float] | None = self._now()

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    @property
    def seconds(self) -> float:
        """Time spent in training, over all sessions of the run."""
        return self._before + (self._now()[0] - self._since[0] if self._since else 0.0)

    @property
    def cpu_seconds(self) -> float:
        """CPU time of all threads of this process in training, in this session."""
        return self._cpu_before + (self._now()[1] - self._since[1] if self._since else 0.0)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Pause within the block, which may be inside another one."""
        self._before, self._cpu_before = self.seconds, self.cpu_seconds
        was_running, self._since = self._since is not None, None
        try:
            yield
        finally:
            self._since = self._now() if was_running else None


class NonFinite(Exception):
    """A loss or a weight is infinite or not a number, for the first time after `step`."""

    def __init__(self, step: int, message: str) -> None:
        super().__init__(message)
        self.step = step


class Recorder:
    """Makes rows of metrics and writes them to metrics.jsonl and the loggers.

    The losses of the steps stay on the device until a row is made, so that no step waits for them.
    """

    def __init__(
        self,
        config: Config,
        run: RunFolder,
        step: int,
        *,
        clock: Clock,
        epoch_images: int,
        selects: bool,
        device: torch.device,
    ) -> None:
        self.run, self.clock, self.device = run, clock, device
        self.tracking = Tracking(config, run, step)
        self.images_per_step, self.epoch_images = config.images_per_step, epoch_images
        self.selects = selects
        self._losses: list[Losses] = []
        self._last = step, clock.seconds, clock.cpu_seconds

    def add(self, losses: Losses) -> None:
        """Keep the losses of a step for the next row."""
        self._losses.append(losses)

    def row(self, kind: str, step: int, **values: Any) -> dict[str, Any]:
        """Return a row of metrics with `values`."""
        images = step * self.images_per_step
        return {
            "kind": kind,
            "step": step,
            "images": images,
            "epoch": images / self.epoch_images,
            "train_seconds": self.clock.seconds,
            **values,
        }

    def train_row(self) -> dict[str, Any] | None:
        """Return the row of the steps since the last one; None if there are none.

        It has means over these steps and all ranks of whatever the steps report, by the same names.
        A generator's loss against a discriminator is the mean over the steps that computed it, and
        None if there were none. All ranks call this together. Raises NonFinite.
        """
        if not self._losses:
            return None
        table = _mean_over_ranks(self._losses)
        last_step, last_seconds, last_cpu_seconds = self._last
        step, interval = last_step + len(self._losses), self.clock.seconds - last_seconds
        finite = torch.stack([_valid(name, table).all(dim=1) for name in table])
        if not finite.all():
            first = last_step + 1 + int((~finite.all(dim=0)).nonzero()[0])
            raise NonFinite(first, f"loss not finite at step {first}")
        if self.device.type == "cuda":
            utilisation = cuda_utilisation(self.device)
        else:
            cpu_seconds = self.clock.cpu_seconds - last_cpu_seconds
            utilisation = cpu_seconds / max(interval, 1e-9) / torch.get_num_threads()
        row = self.row(
            "train",
            step,
            **{name: _means(values) for name, values in table.items()},
            chosen=table["weights"].argmax(dim=1).tolist() if self.selects else None,
            images_per_second=(step - last_step) * self.images_per_step / max(interval, 1e-9),
            peak_memory_bytes=peak_memory_bytes(self.device),
            utilisation=utilisation,
        )
        self._losses.clear()
        self._last = step, self.clock.seconds, self.clock.cpu_seconds
        return row

    def write(self, row: dict[str, Any]) -> None:
        """Write a row. Only the main rank calls this. Raises UserError."""
        self.run.append_metrics([row])
        self.tracking.row(row)

    def write_samples(self, step: int, picture: Image.Image) -> None:
        """Write a grid of samples. Only the main rank calls this. Raises UserError."""
        with writing(self.run.path):
            save_picture(picture, self.run.sample_file(step))
        self.tracking.samples(step, picture)

    def __enter__(self) -> "Recorder":
        with self.clock.paused(), distributed.raise_together():
            if distributed.is_main():
                self.tracking.begin()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        with self.clock.paused():  # a service may take long to receive what is left
            self.tracking.end(state_after(error))


def _valid(name: str, table: dict[str, Tensor]) -> Tensor:
    """Return where a column [steps] or [steps, N] is finite, or was not computed (`Losses`)."""
    values = table[name]
    finite = values.isfinite()
    if name.startswith("loss_g_"):
        finite |= values.isnan() & (table["weights"] == 0)
    return finite.view(len(values), -1)


def _means(values: Tensor) -> float | list[float | None]:
    """Return the means over steps of a column [steps] or [steps, N]; None where unknown."""
    means = values.nanmean(dim=0).tolist()
    if isinstance(means, float):
        return means
    return [None if math.isnan(mean) else mean for mean in means]


def _mean_over_ranks(steps: list[Losses]) -> dict[str, Tensor]:
    """Return the means over ranks, float64 [steps] or [steps, N] on the CPU, by one reduction."""
    columns = {name: torch.stack([losses[name] for losses in steps]) for name in steps[0]}
    packed = torch.cat([column.reshape(len(steps), -1) for column in columns.values()], dim=1)
    means = distributed.mean_over_ranks(packed.double()).cpu()
    parts = means.split([column[0].numel() for column in columns.values()], dim=1)
    return {
        name: part.view(column.shape)
        for (name, column), part in zip(columns.items(), parts, strict=True)
    }
