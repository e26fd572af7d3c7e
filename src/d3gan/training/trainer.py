"""The training loop: one file for one process and for many."""

import math
import os
import platform
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress

import torch

from d3gan.config import Config, DataConfig, to_toml
from d3gan.data.cache import ImageSet, check_enough, load_images
from d3gan.errors import Interrupted, ProcessesLost, UserError
from d3gan.evaluation.evaluator import Evaluator
from d3gan.evaluation.metrics.names import check_evaluation
from d3gan.progress import Bar, progress_bar
from d3gan.runs import RunFolder, Status
from d3gan.runs import State as RunState
from d3gan.training import distributed
from d3gan.training.checkpoint import newest_checkpoint
from d3gan.training.distributed import DiscriminatorParallel
from d3gan.training.engines import Engine, make_engine, total_steps
from d3gan.training.environment import environment
from d3gan.training.flops import flops_per_step
from d3gan.training.logging import Clock, NonFinite, Recorder
from d3gan.training.milestones import Diverged, Milestones
from d3gan.training.signals import StopRequest, stop_request
from d3gan.training.state import make_state


def train(config: Config, *, resume: bool = False) -> RunFolder:
    """Train the run that `config` describes, or continue it from its newest checkpoint.

    Raises UserError for what the user can mend; Interrupted after a signal, once the state is
    saved. Under torchrun every process calls it.
    """
    check_evaluation(config.eval)
    run = RunFolder(config.run_dir)
    timeout = config.train.timeout_seconds
    with distributed.process_group(config.train.device, timeout) as device, ExitStack() as stack:
        if config.train.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what torch asks for
        torch.use_deterministic_algorithms(config.train.deterministic)
        mesh = distributed.make_discriminator_parallel(config.train, config.gan.discriminators)
        _check_batches(config, mesh)
        with distributed.raise_together():
            if not resume and run.exists():
                raise UserError(
                    f"there is a run at {run.path} already; continue it with "
                    f"'d3gan train {run.path}', or give the new one another --name"
                )
            if resume and not run.exists():
                raise UserError(f"there is no run at {run.path} to go on with")
            if distributed.is_main():
                stack.enter_context(run.locked())
            images = _load_images(config.data)
            count = len(images.images)
            check_enough(count, images.name, config.train.batch_size, "train.batch_size")
        evaluator = _evaluator(config, images, device)
        with distributed.raise_together():
            state = make_state(config, device, mesh)
            if resume and (saved := newest_checkpoint(run)):
                if saved["data_digest"] != images.digest:
                    raise UserError(
                        f"the images of {config.data.source} have changed since {run.path} was "
                        "saved; restore them, or start a new run with another --name"
                    )
                state.load_state_dict(saved)
            if state.step > total_steps(config, len(images.images)):
                raise UserError(
                    f"train.epochs = {config.train.epochs:g}: {run.path} is at step {state.step}, "
                    "which is past that already"
                )
            flops = _counted_before(run)
            if distributed.is_main():
                flops = flops or flops_per_step(config)
                run.forget_after(state.step)
                run.begin(to_toml(config), environment(config))
        clock = Clock(state.train_seconds)

        def write_status(now: RunState, message: str = "") -> None:
            if distributed.is_main():
                total = total_steps(config, len(images.images))
                pid, host = os.getpid(), platform.node()
                run.write_status(
                    Status(now, state.step, total, clock.seconds, pid, host, message, flops)
                )

        try:
            with distributed.raise_together():
                write_status("running")
            milestones = Milestones(config, run, state, images, clock, evaluator)
            engine = make_engine(config, state, images.images, device)
            early = _Trainer(engine, run, clock, milestones, write_status).run_to_end()
            write_status("stopped_early" if early else "finished", early)
        except BaseException as error:
            with suppress(UserError):
                write_status(*_how_it_ended(error))
            raise
    return run


def _counted_before(run: RunFolder) -> float | None:
    """Return the operations per step that an earlier session counted; None if none did."""
    status = run.status()
    return status.flops_per_step if status else None


def _how_it_ended(error: BaseException) -> tuple[RunState, str]:
    """Return the state of a run that the error ended, and its message."""
    if isinstance(error, Interrupted | KeyboardInterrupt):
        return "interrupted", str(error) or "interrupted"
    if isinstance(error, Diverged):
        return "diverged", str(error)
    if isinstance(error, UserError | ProcessesLost):
        return "failed", str(error)
    return "failed", f"{type(error).__name__}: {error}".splitlines()[0]


def _check_batches(config: Config, mesh: DiscriminatorParallel) -> None:
    """Raise UserError, on all ranks, if one gets too few images for its networks."""
    smallest = config.train.batch_size // mesh.data
    norms = (config.model.generator_norm, config.model.discriminator_norm)
    least = 2 if "batch" in norms or "sync" in norms else 1
    if smallest < least:
        raise UserError(
            f"train.batch_size = {config.train.batch_size}: must be at least "
            f"{least * mesh.data} ({least} for each process with these norms)"
        )


def _load_images(data: DataConfig) -> ImageSet:
    images = load_images(data)
    if images.skipped and distributed.is_main():
        print(
            f"d3gan: warning: skipped {len(images.skipped)} broken images, the first: "
            f"{images.skipped[0]}",
            file=sys.stderr,
        )
    return images


def _evaluator(config: Config, images: ImageSet, device: torch.device) -> Evaluator | None:
    """What measures the generator now and then, if the config asks for it."""
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
        ranks=distributed,
    )


class _Trainer:
    """The steps of a run and everything that happens between them."""

    def __init__(
        self,
        engine: Engine,
        run: RunFolder,
        clock: Clock,
        milestones: Milestones,
        write_status: Callable[[RunState], None],
    ) -> None:
        self.write_status = write_status
        self.config, self.state, self.engine = engine.config, engine.state, engine
        self.run, self.clock, self.milestones = run, clock, milestones
        self.epoch_images, self.total = engine.epoch_images, engine.total

    def run_to_end(self) -> str:
        """Make all steps that are left; return why it ended before the last one, or ""."""
        config, state, milestones = self.config, self.state, self.milestones
        if state.step == 0:
            milestones.save_samples()
        self.recorder = Recorder(
            self.run,
            state.step,
            clock=self.clock,
            images_per_step=config.images_per_step,
            epoch_images=self.epoch_images,
            selects=self.engine.aggregation.selects,
            device=self.engine.device,
        )
        silent = not distributed.is_main()
        with (
            distributed.report_lost_ranks(lambda: f"at step {state.step}"),
            stop_request() as stop,
            self.recorder,
            progress_bar(config.name, self.total, state.step, silent=silent) as bar,
        ):
            missed = state.step > 0 and self._evaluation_due()
            if missed and not milestones.is_evaluated():  # the run was stopped here
                milestones.evaluate(self.recorder, self.epoch_images)
            try:
                self._steps(bar, stop)
            except NonFinite as error:
                self.recorder.diverged(error.step, str(error))
                raise milestones.diverged(str(error)) from error
        if milestones.exhausted and state.step < self.total:
            return milestones.tell_exhausted(self.total)
        return ""

    def _steps(self, bar: Bar, stop: StopRequest) -> None:
        """Raises NonFinite; Interrupted after a signal, once the state is saved."""
        config, state, milestones = self.config, self.state, self.milestones
        while state.step < self.total and not milestones.exhausted:
            self.recorder.add(self.engine.step())
            bar.advance()
            signal_number = stop.agreed(state.step)
            ends = bool(signal_number) or state.step == self.total
            sample_due = ends or self._due(config.samples.every_epochs)
            save_due = ends or self._due(config.checkpoint.every_epochs)
            eval_due = not signal_number and self._evaluation_due()
            log_due = state.step % config.train.log_every_steps == 0
            if sample_due or save_due or eval_due or log_due:
                self._record(bar)
            if eval_due:
                bar.advance(0, "evaluating")
                milestones.evaluate(self.recorder, self.epoch_images)
            if sample_due or milestones.exhausted:
                milestones.save_samples()
            if save_due or milestones.exhausted:
                milestones.save_checkpoint()
            if signal_number:
                raise Interrupted(
                    signal_number,
                    f"stopped at step {state.step} of {self.total}, which is saved; "
                    f"continue with 'd3gan train {self.run.path}'",
                )

    def _evaluation_due(self) -> bool:
        ends = self.state.step == self.total
        asked = self.milestones.evaluator is not None
        return asked and (ends or self._due(self.config.eval.every_epochs))

    def _due(self, every_epochs: float) -> bool:
        """Whether the last step crossed a multiple of `every_epochs`: a function of the step."""
        steps = every_epochs * self.epoch_images / self.config.images_per_step
        return math.floor(self.state.step / steps) > math.floor((self.state.step - 1) / steps)

    def _record(self, bar: Bar) -> None:
        """Write what the last steps came to. Raises NonFinite."""
        row = self.recorder.flush()
        if row:
            loss_d = sum(row["loss_d"]) / len(row["loss_d"])
            rate = row["images_per_second"]
            with distributed.raise_together():
                self.write_status("running")
            bar.advance(0, f"D {loss_d:.2f} G {row['loss_g']:.2f} {rate:.0f} img/s")
