"""Training a run, from top to bottom: set-up, steps, what is saved between them, and the end.

The same code serves one process and torchrun. All ranks call every function here together, unless
its docstring says otherwise.
"""

import math
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any

import torch

from d3gan import runs
from d3gan.acceleration.precision import in_full_precision
from d3gan.config import Config, from_dict, refuse_changes, to_dict, to_toml
from d3gan.data.cache import ImageSet, check_enough, load_images
from d3gan.errors import Interrupted, ProcessesLost, UserError
from d3gan.evaluation.evaluator import Evaluator
from d3gan.images import grid, save_picture
from d3gan.progress import progress_bar
from d3gan.runs import RunFolder, Status, numbered, writing
from d3gan.training import distributed
from d3gan.training.checkpoint import checkpoint_to_resume, save_checkpoint, write_checkpoint
from d3gan.training.early_stopping import Monitor, resumed_monitor
from d3gan.training.engines import make_engine, total_steps
from d3gan.training.environment import environment
from d3gan.training.flops import flops_per_step
from d3gan.training.inference import EVALUATION_SEED, measure_generator
from d3gan.training.logging import Clock, NonFinite, Recorder
from d3gan.training.sampling import generate, latents, to_uint8
from d3gan.training.signals import stop_request
from d3gan.training.state import State, make_state


class Diverged(UserError):
    """A loss or a weight is infinite or not a number."""


def train(config: Config, *, resume: bool = False) -> RunFolder:
    """Train the run that `config` describes, or resume it from its newest checkpoint.

    Under torchrun every process calls this. Raises UserError for a mistake that the user can fix,
    Diverged if training diverges, and Interrupted after a signal, once a checkpoint is written.
    """
    run = RunFolder(config.run_dir)
    timeout = config.train.timeout_seconds
    with distributed.process_group(config.train.device, timeout) as device, ExitStack() as stack:
        if config.train.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # torch requires it
        torch.use_deterministic_algorithms(config.train.deterministic)
        parallel = distributed.make_discriminator_parallel(config.train, config.gan.discriminators)
        _check_batch_size(config, parallel.data)
        with distributed.raise_together():
            _check_folder(run, resume=resume)
            if distributed.is_main():
                stack.enter_context(run.locked())
            images = _load_images(config)
        evaluator = _make_evaluator(config, images, device)
        saved = checkpoint_to_resume(run) if resume else None
        with distributed.raise_together():
            state = make_state(config, device, parallel)
            if saved:
                _check_same_run(run, saved, config, images)
                state.load_state_dict(saved)
            if state.step > total_steps(config, len(images.images)):
                raise UserError(
                    f"train.epochs = {config.train.epochs:g}: {run.path} has already been trained "
                    f"for longer, to step {state.step}"
                )
            if distributed.is_main():
                run.forget_after(state.step)
                run.begin(to_toml(config), environment(config))
        _Session(config, run, state, images, evaluator, device).train()
    return run


def _check_batch_size(config: Config, shards: int) -> None:
    """Raise UserError if a rank's shard of the batch is too small for the networks."""
    norms = (config.model.generator_norm, config.model.discriminator_norm)
    least = 2 if "batch" in norms or "sync" in norms else 1
    if config.train.batch_size // shards < least:
        raise UserError(
            f"train.batch_size = {config.train.batch_size}: must be at least {least * shards} "
            f"({least} for each process with these norms)"
        )


def _check_folder(run: RunFolder, *, resume: bool) -> None:
    """Raise UserError if there is a run already, or, to resume it, if there is none."""
    if resume and not run.exists():
        raise UserError(f"there is no run at {run.path} to resume")
    if not resume and run.exists():
        raise UserError(
            f"there is a run at {run.path} already; continue it with 'd3gan train {run.path}', "
            "or choose another --name for the new one"
        )


def _load_images(config: Config) -> ImageSet:
    """Return the training images. Warns of broken ones. Raises UserError if there are too few."""
    images = load_images(config.data)
    check_enough(len(images.images), images.name, config.train.batch_size, "train.batch_size")
    if images.skipped and distributed.is_main():
        print(
            f"d3gan: warning: skipped {len(images.skipped)} broken images; the first one is "
            f"{images.skipped[0]}",
            file=sys.stderr,
        )
    return images


def _make_evaluator(config: Config, images: ImageSet, device: torch.device) -> Evaluator | None:
    """Return what measures the generator during training; None if the config asks for nothing."""
    if not config.eval.every_epochs:
        return None
    return Evaluator(
        config.data,
        images,
        features=config.eval.features,
        metrics=config.eval.metrics,
        samples=config.eval.samples,
        weights=config.eval.weights,
        device=device,
        classes=images.classes if config.model.conditional else 0,
        ranks=distributed,
    )


def _check_same_run(
    run: RunFolder, saved: dict[str, Any], config: Config, images: ImageSet
) -> None:
    """Raise UserError if the checkpoint was saved with other images or another configuration."""
    if saved["data_digest"] != images.digest:
        raise UserError(
            f"the images of {config.data.source} have changed since {run.path} was saved; restore "
            "them, or start a new run with another --name"
        )
    if "config" in saved:  # older versions did not save it
        trained = from_dict(saved["config"])
        # The folder may have been moved or renamed.
        refuse_changes(replace(trained, name=config.name, out_dir=config.out_dir), config)


class _Session:
    """One session of a run: the steps from `state.step` to the end, and everything between them."""

    def __init__(
        self,
        config: Config,
        run: RunFolder,
        state: State,
        images: ImageSet,
        evaluator: Evaluator | None,
        device: torch.device,
    ) -> None:
        self.config, self.run, self.state, self.images = config, run, state, images
        self.evaluator, self.device = evaluator, device
        self.clock = Clock(state.train_seconds)
        self.total = total_steps(config, len(images.images))
        self.monitor: Monitor | None = None
        self.flops: float | None = None

    def train(self) -> None:
        """Make the remaining steps, and keep status.json up to date."""
        try:
            with distributed.raise_together():
                self.flops = self._flops_per_step()
                self._write_status("running")
            self._train()
        except BaseException as error:
            with suppress(UserError):
                self._write_status(*_state_after(error))
            raise
        if self.monitor and self.monitor.exhausted and self.state.step < self.total:
            message = self._reason_of_early_end(self.monitor)
            if distributed.is_main():
                print(f"d3gan: {message}", file=sys.stderr)
            self._write_status("stopped_early", message)
        else:
            self._write_status("finished")

    def _train(self) -> None:
        config, state, run = self.config, self.state, self.run
        engine = make_engine(config, state, self.images.images, self.device)
        self.recorder = Recorder(
            run,
            state.step,
            clock=self.clock,
            images_per_step=config.images_per_step,
            epoch_images=len(self.images.images),
            selects=engine.aggregation.selects,
            device=self.device,
        )
        if self.evaluator:
            name = config.eval.monitor or self.evaluator.asked[0]
            protocol = self.evaluator.protocol(seed=EVALUATION_SEED, ema=self._ema)
            self.monitor = resumed_monitor(
                run, Monitor(name, self.evaluator.better[name], config.eval.patience), protocol
            )
        silent = not distributed.is_main()
        with (
            distributed.report_lost_ranks(lambda: f"at step {state.step}"),
            stop_request() as stop,
            self.recorder,
            progress_bar(config.name, self.total, state.step, silent=silent) as bar,
            self._report_divergence(),
        ):
            if state.step == 0:
                self._save_samples()
            elif self._evaluation_due() and not self._is_evaluated():  # interrupted before it
                self._evaluate()
            while state.step < self.total and not (self.monitor and self.monitor.exhausted):
                self.recorder.add(engine.step())
                bar.advance()
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
                    if self.monitor and self.monitor.exhausted:
                        samples_due = checkpoint_due = True
                if samples_due:
                    self._save_samples()
                if checkpoint_due:
                    self._save_checkpoint()
                if signal_number:
                    raise Interrupted(
                        signal_number,
                        f"interrupted at step {state.step} of {self.total}; a checkpoint is saved; "
                        f"continue with 'd3gan train {run.path}'",
                    )

    # When

    def _due(self, every_epochs: float) -> bool:
        """Return whether the last step crossed a multiple of `every_epochs`."""
        steps = every_epochs * len(self.images.images) / self.config.images_per_step
        return math.floor(self.state.step / steps) > math.floor((self.state.step - 1) / steps)

    def _evaluation_due(self) -> bool:
        last = self.state.step == self.total
        return self.evaluator is not None and (last or self._due(self.config.eval.every_epochs))

    def _is_evaluated(self) -> bool:
        rows = distributed.from_main(self.run.metrics)
        return any(row["kind"] == "eval" and row["step"] == self.state.step for row in rows)

    # What

    def _log(self) -> str:
        """Write a row of metrics; return the losses in short. Raises NonFinite."""
        row = self.recorder.flush()
        if row is None:
            return ""
        with distributed.raise_together():
            self._write_status("running")
        loss_d = sum(row["loss_d"]) / len(row["loss_d"])
        return f"D {loss_d:.2f} G {row['loss_g']:.2f} {row['images_per_second']:.0f} img/s"

    def _save_samples(self) -> None:
        """Write a grid of samples, always from the same latents, which the run's seed gives."""
        config, state = self.config, self.state
        with self.clock.stopped(), self._averaged_buffers(), distributed.raise_together():
            if distributed.is_main():
                z = latents(config.samples.count, config.model.latent_dim, config.seed)
                with in_full_precision(state.sampler), writing(self.run.path):
                    picture = grid(to_uint8(generate(state.sampler, z)))
                    save_picture(picture, self.run.sample_file(state.step))

    def _evaluate(self) -> None:
        """Measure the generator, and save the state as best.pt if it is the best so far."""
        assert self.evaluator
        assert self.monitor
        config, state = self.config, self.state
        images = state.step * config.images_per_step
        with self.clock.stopped(), self._averaged_buffers():
            start = time.perf_counter()
            with in_full_precision(state.sampler):
                measured = measure_generator(
                    self.evaluator, state.sampler, config.model.latent_dim, ema=self._ema
                )
            row = {
                "kind": "eval",
                "step": state.step,
                "images": images,
                "epoch": images / len(self.images.images),
                "train_seconds": self.clock.seconds,
                "eval_seconds": time.perf_counter() - start,
                "monitor": self.monitor.name,
                **measured.to_dict(),
            }
            row["best"] = self.monitor.update(row)
            if row["best"]:
                saved = self._saved_state() | {"evaluation": row}
                with distributed.raise_together():
                    if distributed.is_main():
                        write_checkpoint(self.run.best_file, saved)
            self.recorder.evaluated(row)

    def _save_checkpoint(self) -> None:
        """Write the checkpoint of this step."""
        with self.clock.stopped():
            # Not undone afterwards: the run continues from here as a resumed run does.
            for network in (self.state.generator, self.state.average):
                if network is not None:
                    distributed.average_buffers(network)
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
        more = {"data_digest": self.images.digest, "config": to_dict(self.config)}
        return state.state_dict() | more

    @contextmanager
    def _averaged_buffers(self) -> Iterator[None]:
        """Average the generator's running statistics over ranks within the block."""
        with ExitStack() as stack:
            for network in (self.state.generator, self.state.average):
                if network is not None:
                    stack.enter_context(distributed.averaged_buffers(network))
            yield

    @property
    def _ema(self) -> bool:
        """Whether samples come from a moving average of the generator."""
        return self.state.average is not None

    # How it stands, and how it ends

    def _flops_per_step(self) -> float | None:
        """Return the operations of a step on the main rank, counted if no earlier session did."""
        if not distributed.is_main():
            return None
        with suppress(UserError):  # a damaged status.json is replaced
            status = self.run.status()
            if status and status.flops_per_step:
                return status.flops_per_step
        return flops_per_step(self.config)

    def _write_status(self, state: runs.State, message: str = "") -> None:
        """Write status.json on the main rank, without waiting for the others, which may be lost."""
        if distributed.is_main():
            self.run.write_status(
                Status(
                    state=state,
                    step=self.state.step,
                    total_steps=self.total,
                    train_seconds=self.clock.seconds,
                    pid=os.getpid(),
                    host=platform.node(),
                    message=message,
                    flops_per_step=self.flops,
                )
            )

    @contextmanager
    def _report_divergence(self) -> Iterator[None]:
        """Turn NonFinite within the block into a row of metrics and Diverged."""
        try:
            yield
        except NonFinite as error:
            self.recorder.diverged(error.step, str(error))
            saved = numbered(self.run.checkpoints, "pt")
            last = f"the last good checkpoint is {saved[-1]}" if saved else "nothing was saved yet"
            raise Diverged(
                f"{error}: training diverged; {last}; start a new run, under another --name, with "
                "lower optim.lr_g and optim.lr_d or a larger gan.r1_gamma"
            ) from error

    def _reason_of_early_end(self, monitor: Monitor) -> str:
        best, saved = monitor.best, (self.total - self.state.step) * self.config.images_per_step
        assert best
        return (
            f"stopped early at step {self.state.step} of {self.total}, which saves {saved:,} "
            f"images: {monitor.name} has not improved by more than its standard error for "
            f"{monitor.patience} evaluations (best: {best[monitor.name]:.4g} at step "
            f"{best['step']}); continue with a larger --eval.patience"
        )


def _state_after(error: BaseException) -> tuple[runs.State, str]:
    """Return the state of a run that ended by `error`, and its message."""
    if isinstance(error, Interrupted | KeyboardInterrupt):
        return "interrupted", str(error) or "interrupted before a checkpoint was saved"
    if isinstance(error, Diverged):
        return "diverged", str(error)
    if isinstance(error, UserError | ProcessesLost):
        return "failed", str(error)
    return "failed", f"{type(error).__name__}: {error}".splitlines()[0]
