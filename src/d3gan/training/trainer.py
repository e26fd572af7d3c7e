"""Training a run, from top to bottom: set-up, steps, what is saved between them, and the end.

The same code serves one process and torchrun. All ranks call every function of this file together.
"""

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from d3gan.acceleration.precision import in_full_precision
from d3gan.config import Config, to_dict, to_toml, validate
from d3gan.config_paths import absolute
from d3gan.data.cache import ImageSet
from d3gan.errors import Interrupted
from d3gan.evaluation.evaluator import Evaluator
from d3gan.evaluation.protocol import SELECTION_SEED
from d3gan.images import grid
from d3gan.messages import note
from d3gan.progress import progress_bar
from d3gan.runs import RunFolder
from d3gan.shell import command_line
from d3gan.training import distributed, preparation
from d3gan.training.checkpoint import checkpoint_to_resume, save_checkpoint, write_checkpoint
from d3gan.training.early_stopping import early_stop_message, make_monitor, resumed_monitor
from d3gan.training.engine import Engine
from d3gan.training.environment import environment
from d3gan.training.final_report import report_row
from d3gan.training.forecast import Forecast
from d3gan.training.kernels import choose_kernels
from d3gan.training.listening import Listener, OnRow
from d3gan.training.logging import Clock, NonFinite, Recorder
from d3gan.training.measuring import measure_generator
from d3gan.training.process import process_settings
from d3gan.training.remarks import print_remarks
from d3gan.training.resuming import images_id, name_new_place, opened, restore
from d3gan.training.sampling import sample_images
from d3gan.training.signals import stop_request
from d3gan.training.state import State, make_state
from d3gan.training.status import StatusFile, diverged
from d3gan.training.warm_start import warm_start
from d3gan.training.watch import Watch


def train(config: Config, *, resume: bool = False, on_row: OnRow | None = None) -> RunFolder:
    """Train the run that `config` describes, or resume it from its newest checkpoint.

    Under torchrun every process calls this. `on_row` is called with every row of metrics. Raises
    UserError for a mistake that the user can fix, Diverged if training diverges, and, once a
    checkpoint is written, Interrupted after a signal and whatever `on_row` raises.
    """
    # What the run saves means the same from every working directory.
    config = replace(absolute(validate(config)), out_dir=config.out_dir)
    run = RunFolder(config.run_dir)
    timeout = config.train.timeout_seconds
    with (
        process_settings(deterministic=config.train.deterministic),
        distributed.process_group(config.train.device, timeout) as device,
        ExitStack() as stack,
    ):
        parallel = distributed.make_discriminator_parallel(config.train, config.gan.discriminators)
        networks = preparation.meta_networks(config)
        preparation.check_batch_size(config, parallel.data, networks)
        if not resume:
            print_remarks(config, *networks, device)
        with distributed.raise_together():
            stack.enter_context(opened(run, resume=resume))
            with name_new_place(config.data.source, "--data.source"):
                images = preparation.load_training_images(config)
        config = preparation.with_features(config)
        config = preparation.with_precision(config, device)
        evaluator = preparation.make_evaluator(config, images, device)
        saved = checkpoint_to_resume(run) if resume else None
        with distributed.raise_together():
            state = make_state(config, device, parallel, images.classes)
            total = config.total_steps(len(images.images))
            if resume:
                restore(config, run, state, saved, images)
            config, initial = warm_start(config, run, state) if saved is None else (config, None)
            if distributed.is_main():
                run.forget_after(state.step)
                run.begin(to_toml(config), environment(config) | images_id(images))
                if initial:
                    initial.save(run)
        kernels = choose_kernels(config, state, run)
        with StatusFile(run, config, state, total, Clock(state.train_seconds)) as status:
            _Training(config, run, state, images, evaluator, device, status, on_row).train(kernels)
    return run


class _Training:
    """The steps from `state.step` to the last one, and everything that is saved between them."""

    def __init__(
        self,
        config: Config,
        run: RunFolder,
        state: State,
        images: ImageSet,
        evaluator: Evaluator | None,
        device: torch.device,
        status: StatusFile,
        on_row: OnRow | None,
    ) -> None:
        self.config, self.run, self.state, self.listener = config, run, state, Listener(on_row)
        self.images_id, self.epoch_images = images_id(images), len(images.images)
        self.evaluator, self.status = evaluator, status
        self.total, self.clock = status.total, status.clock
        self.ema = state.ema is not None
        # Their running statistics differ between ranks; what is saved or sampled has the mean.
        self.generators = nn.ModuleList(x for x in (state.generator, state.ema) if x is not None)
        self.engine = Engine(config, state, images.images, device, images.labels)
        self.recorder = Recorder(
            config,
            run,
            state.step,
            clock=self.clock,
            epoch_images=self.epoch_images,
            selects=self.engine.selects,
            device=device,
        )
        self.monitor = None
        if evaluator:
            protocol = evaluator.protocol(seed=SELECTION_SEED, ema=self.ema)
            self.monitor = resumed_monitor(run, make_monitor(config.eval, evaluator), protocol)
        self.watch = Watch(config, run, self.total, self.monitor)
        seconds = self.watch.evaluation_seconds
        self.forecast = Forecast(config, run, state, device, status, self.epoch_images, seconds)

    def train(self, kernels: str) -> None:
        """Make the remaining steps. `kernels` says which were chosen now, if any."""
        self.forecast.announce(kernels)
        config, state = self.config, self.state
        silent = not distributed.is_main() or state.step == self.total
        with (
            distributed.report_lost_ranks(lambda: f"at step {state.step}"),
            stop_request() as stop,
            self.recorder,
            progress_bar(config.name, self.total, state.step, silent=silent) as bar,
            self._report_divergence(),
        ):
            if state.step == 0:
                self._save_samples()
            if self._evaluation_due() and not self._is_evaluated():  # at step 0, or interrupted
                self._evaluate()
            while state.step < self.total and not self._ends_early():
                self.recorder.add(self.engine.step())
                bar.advance()
                self.forecast.step()
                signal_number = stop.agreed(state.step)
                ends = bool(signal_number) or state.step == self.total
                samples_due = ends or self._due(config.samples.every_epochs)
                checkpoint_due = ends or self._due(config.checkpoint.every_epochs)
                evaluation_due = not signal_number and self._evaluation_due()
                row_due = state.step % config.train.log_every_steps == 0
                if samples_due or checkpoint_due or evaluation_due or row_due:
                    bar.advance(0, self._log())
                if evaluation_due:
                    bar.advance(0, "evaluating")
                    self._evaluate()
                if samples_due or self._ends_early():
                    self._save_samples()
                if checkpoint_due or self._ends_early():
                    self._save_checkpoint()
                if signal_number:
                    raise Interrupted(
                        signal_number,
                        f"interrupted at step {state.step} of {self.total}; a checkpoint is saved; "
                        f"continue with `{command_line('train', self.run.path)}`",
                    )
            self.listener.raise_error()
            bar.advance(0, "evaluating")
            self._report()
            self.listener.raise_error()
        if self._ends_early() and state.step < self.total:
            self._stop_early()
        self.watch.finish()

    def _due(self, every_epochs: float) -> bool:
        """Return whether the last step crossed a multiple of `every_epochs`; step 0 does."""
        steps = every_epochs * self.epoch_images / self.config.images_per_step
        return math.floor(self.state.step / steps) > math.floor((self.state.step - 1) / steps)

    def _evaluation_due(self) -> bool:
        last = self.state.step == self.total
        return self.evaluator is not None and (last or self._due(self.config.eval.every_epochs))

    def _is_evaluated(self) -> bool:
        rows = distributed.from_main(self.run.metrics)
        return any(row["kind"] == "eval" and row["step"] == self.state.step for row in rows)

    def _ends_early(self) -> bool:
        """Return whether the monitored metric stopped improving, or `on_row` asks to stop."""
        return self.listener.stops or (self.monitor is not None and self.monitor.exhausted)

    def _log(self) -> str:
        """Write a row of metrics for the last steps; return its losses. Raises NonFinite."""
        row = self.recorder.train_row()
        if row is None:
            return ""
        self._write(row)
        loss_d = sum(row["loss_d"]) / len(row["loss_d"])
        speed = f"{row['images_per_second']:.0f} img/s"
        return f"loss D {loss_d:.2f} G {row['loss_g']:.2f}, {speed}"

    def _write(self, row: dict[str, Any]) -> None:
        """Write a row of metrics and the status at that time, and hand the row to `on_row`."""
        with distributed.raise_together():
            if distributed.is_main():
                for written in (row, *self.watch.see(row)):
                    self.recorder.write(written)
                self.status.write()
        with self.clock.paused():
            self.listener.hear(row)

    def _save_samples(self) -> None:
        """Write a grid of samples, always from the same latents, which the run's seed gives."""
        config, state = self.config, self.state
        averaged = distributed.averaged_buffers(self.generators)
        with self.clock.paused(), averaged, distributed.raise_together():
            if distributed.is_main():
                shape = (config.samples.count, config.model.latent_dim, state.classes)
                with in_full_precision(state.sampler):
                    images, columns = sample_images(state.sampler, *shape, config.seed)
                self.recorder.write_samples(state.step, grid(images, columns))
                self.watch.see_samples(state.step, images)

    def _evaluate(self) -> None:
        """Measure the generator, and save the state as best.pt if it is the best so far."""
        assert self.evaluator
        assert self.monitor
        config, state = self.config, self.state
        with self.clock.paused(), distributed.averaged_buffers(self.generators):
            start = time.perf_counter()
            with in_full_precision(state.sampler):
                measured = measure_generator(
                    self.evaluator, state.sampler, config.model.latent_dim, ema=self.ema
                )
            row = self.recorder.row(
                "eval",
                state.step,
                eval_seconds=time.perf_counter() - start,
                monitor=self.monitor.name,
                **measured.to_dict(),
            )
            if state.step == 0:
                row["train_seconds"] = 0.0  # not the time in which the run was set up
            row["best"] = self.monitor.update(row)
            if row["best"]:
                saved = self._saved_state() | {"evaluation": row}
                with distributed.raise_together():
                    if distributed.is_main():
                        write_checkpoint(self.run.best_file, saved)
            self._write(row)

    def _report(self) -> None:
        """Measure the best checkpoint on fresh draws of latents, unless that was done."""
        with self.clock.paused():
            if self.evaluator and (row := report_row(self.run, self.evaluator)):
                self._write(row)

    def _save_checkpoint(self) -> None:
        with self.clock.paused():
            # Not undone afterwards, so that this run continues as a resumed one does.
            distributed.average_buffers(self.generators)
            saved = self._saved_state()
            with distributed.raise_together():
                if distributed.is_main():
                    save_checkpoint(self.run, saved, self.config.checkpoint.keep)

    def _saved_state(self) -> dict[str, Any]:
        """Return the content of a checkpoint. Raises NonFinite."""
        state = self.state
        if not state.is_finite():  # the losses are from before the step, the weights from after it
            raise NonFinite(state.step, f"weights not finite after step {state.step}")
        state.train_seconds = self.clock.seconds
        more = {**self.images_id, "config": to_dict(self.config)}
        return state.state_dict() | more

    @contextmanager
    def _report_divergence(self) -> Iterator[None]:
        """Turn NonFinite within the block into a row of metrics and Diverged."""
        try:
            yield
        except NonFinite as error:
            self._write(self.recorder.row("diverged", error.step, what=str(error)))
            raise diverged(str(error), self.run) from error

    def _stop_early(self) -> None:
        """Say why training ends before its last step."""
        step, total = self.state.step, self.total
        saved = (total - step) * self.config.images_per_step
        self.status.early_stop = early_stop_message(step, total, saved, self.monitor)
        if distributed.is_main():
            note(self.status.early_stop)
