"""What a run will take, said before its first step and once some steps were timed."""

import json
import shutil
import textwrap
import time
from collections.abc import Callable, Iterable

import torch

from d3gan import config_files
from d3gan.config import Config
from d3gan.devices import synchronise
from d3gan.errors import UserError
from d3gan.machine import available_memory
from d3gan.messages import detail, note, plain, warn
from d3gan.progress import duration, epoch_text
from d3gan.runs import RunFolder
from d3gan.training import distributed
from d3gan.training.flops import flops_per_step
from d3gan.training.kernels import shown
from d3gan.training.state import State
from d3gan.training.status import StatusFile
from d3gan.training.usage import peak_memory_bytes

WARM_UP, TIMED, TIMED_SECONDS = 2, 10, 3.0
"""Steps that are not timed, and the steps or seconds that are."""

LONG_SECONDS = 15 * 60
"""Without a GPU, a shorter preset is proposed for runs that take longer than this."""
SHORTER = 0.5
"""Largest share of the run's time that a proposed preset may take."""

DEMO, DEMO_IMAGES = "demo-d3gan", 5_000
COLUMNS, INDENT = 80, 11


def size(count: float) -> str:
    """Return a number of bytes in words, such as ``34 MB`` or ``1.2 GB``."""
    for unit in ("kB", "MB"):
        count /= 1000
        if count < 999.5:
            return f"{max(1.0, count):.0f} {unit}"
    return f"{count / 1000:.1f} GB"


def state_bytes(state: State, discriminators: int) -> tuple[int, int]:
    """Return the bytes of the trained weights of all networks, and of the EMA."""
    of_d = _bytes(state.discriminators.parameters()) // max(1, len(state.discriminators.members))
    weights = _bytes(state.generator.parameters()) + of_d * discriminators
    return weights, _bytes(state.ema.parameters()) if state.ema is not None else 0


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum(x.numel() * x.element_size() for x in tensors)


def disk_bytes(config: Config, weights: int, ema: int) -> tuple[int, int]:
    """Return the bytes of one checkpoint (weights, both moments of Adam, EMA), and of a whole run.

    The latter holds the newest checkpoints, one that is being written, the best one, and the
    sample grids, as if PNG did not compress them.
    """
    checkpoint = 3 * weights + ema
    kept = config.checkpoint.keep + 1 + bool(config.eval.every_epochs)
    grids = config.train.epochs / config.samples.every_epochs + 2
    grid = config.samples.count * config.data.channels * config.data.resolution**2
    return checkpoint, int(checkpoint * kept + grid * grids)


class Forecast:
    """Prints what a run will take. All ranks make one; the main rank prints."""

    def __init__(
        self,
        config: Config,
        run: RunFolder,
        state: State,
        device: torch.device,
        status: StatusFile,
        epoch_images: int,
        last_evaluation: Callable[[], float | None],
    ) -> None:
        self._config, self._run, self._state, self._device = config, run, state, device
        self._total, self._clock, self._epoch_images = status.total, status.clock, epoch_images
        self._last_evaluation = last_evaluation
        self._no_gpu = config.train.device == "auto" and device.type == "cpu"
        self._first = state.step + WARM_UP
        self._begun = 0.0
        self._done = not distributed.is_main()

    def announce(self, kernels: str) -> None:
        """Print the run's size, device, kernels and disk space before the first step.

        Nothing is printed if no step is left.
        All ranks call this together. Raises UserError, on all ranks, if not even one checkpoint
        fits, or Adam's state into the memory.
        """
        with distributed.raise_together():
            if distributed.is_main() and self._state.step < self._total:
                self._announce(kernels)

    def _announce(self, kernels: str) -> None:
        config, left = self._config, self._total - self._state.step
        more, plural = " more" if self._state.step else "", "" if left == 1 else "s"
        end = epoch_text(self._total * config.images_per_step / self._epoch_images)
        note(
            f"{config.name}: {left:,}{more} step{plural} of {config.images_per_step} images, "
            f"to epoch {end}"
        )
        _row("device", self._device_text())
        if kernels:
            _row("kernels", kernels)
            self._detail_kernels()
        weights, ema = state_bytes(self._state, config.gan.discriminators)
        self._check_memory(weights)
        checkpoint, whole = disk_bytes(config, weights, ema)
        free = shutil.disk_usage(self._run.path).free
        _row("disk", f"at most {size(whole)}; {size(free)} are free")
        if checkpoint > free:
            raise UserError(
                f"one checkpoint needs {size(checkpoint)}, and {size(free)} are free at "
                f"{self._run.path}; free some space or choose another --out-dir"
            )
        if whole > free:
            warn(f"the run may need {size(whole)}, and {size(free)} are free at {self._run.path}; "
                 "a smaller --checkpoint.keep needs less")  # fmt: skip

    def _detail_kernels(self) -> None:
        """Print the kernel of each layer, if the program is verbose."""
        chosen = json.loads(self._run.kernels_file.read_text(encoding="utf-8"))
        for network in ("generator", "discriminators"):
            for layer, kernel in chosen[network].items():
                detail(f"kernel of {network} {layer}: {shown(kernel)}")

    def _device_text(self) -> str:
        precision, processes = self._config.train.precision, distributed.world_size()
        several = f"{processes} processes, " if processes > 1 else ""
        if self._device.type == "cuda":
            return f"{several}{torch.cuda.get_device_name(self._device)}, {precision}"
        if self._device.type != "cpu":
            return f"{several}{self._device.type}, {precision}"
        why = "; no GPU was found" if self._no_gpu else ""
        threads = torch.get_num_threads()
        plural = "" if threads == 1 else "s"
        each = " each" if processes > 1 else ""
        return f"CPU, {several}{threads} thread{plural}{each}, {precision}{why}"

    def _check_memory(self, weights: int) -> None:
        """Raise UserError if gradients and Adam's moments alone do not fit."""
        if self._device.type == "cpu" and (free := available_memory()) and 3 * weights > free:
            raise UserError(
                f"the networks need {size(3 * weights)} more for gradients and Adam's state, and "
                f"{size(free)} of memory are free; choose smaller widths"
            )

    def step(self) -> None:
        """Count a step that was made; print memory and time once enough were timed."""
        made = self._state.step - self._first
        if self._done or made < 0:
            return
        if made == 0:
            synchronise(self._device)
            self._begun = time.perf_counter()
            return
        if made < TIMED and time.perf_counter() - self._begun < TIMED_SECONDS:
            return
        self._done = True
        synchronise(self._device)
        seconds_per_step = (time.perf_counter() - self._begun) / made
        with self._clock.paused():
            if peak := peak_memory_bytes(self._device):
                _row("memory", f"{size(peak)} in use{self._free_memory()}")
            _row("time", self._time_text(seconds_per_step))

    def _free_memory(self) -> str:
        if self._device.type == "cuda":
            free: int | None = torch.cuda.mem_get_info(self._device)[0]
        else:
            free = available_memory()
        return f"; {size(free)} are free" if free is not None else ""

    def _time_text(self, seconds_per_step: float) -> str:
        steps = self._total - self._state.step
        training = seconds_per_step * steps
        each, every = self._last_evaluation(), self._config.eval.every_epochs
        seconds, included = training, ""
        if every:
            included = ", without evaluations"
            if each is not None:
                share = steps / self._total
                # At the end the best checkpoint is measured on three draws.
                seconds += each * (share * self._config.train.epochs / every + 3)
                included = ", evaluations included"
        text = f"about {duration(seconds)} left{included}"
        if self._no_gpu and seconds > LONG_SECONDS:
            speed = flops_per_step(self._config, self._state.classes) / seconds_per_step
            text += _proposal(self._config, speed, self._epoch_images, seconds)
        return text


def _proposal(config: Config, speed: float, images: int, seconds: float) -> str:
    """Return the fastest preset for the same data, if it is much faster; "" if there is none.

    `speed` is in operations per second, measured on this run. There are presets for small machines
    for some data, and the demo for all.
    """
    times = {}
    for name in config_files.presets():
        if not (name.endswith("-small") or name == DEMO):
            continue
        preset = config_files.load_preset(name)
        if name != DEMO and preset.data.source != config.data.source:
            continue
        steps = preset.total_steps(DEMO_IMAGES if name == DEMO else images)
        times[name] = flops_per_step(preset) * steps / speed
    same_data = {name: each for name, each in times.items() if name != DEMO} or times
    name = min(same_data, key=lambda each: same_data[each])
    if same_data[name] > SHORTER * seconds:
        return ""
    return f"; `{name}` takes about {duration(same_data[name])}"


def _row(name: str, text: str) -> None:
    """Print one row of the block."""
    plain(
        textwrap.fill(
            f"  {name:<{INDENT - 2}}{text}",
            COLUMNS,
            subsequent_indent=" " * INDENT,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )
