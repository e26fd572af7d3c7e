"""What a run leaves behind at its milestones: sample grids, evaluations, checkpoints."""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from d3gan.acceleration.precision import in_full_precision
from d3gan.config import Config
from d3gan.data.cache import ImageSet
from d3gan.errors import UserError
from d3gan.evaluation.evaluator import Evaluator
from d3gan.evaluation.protocol import check_comparable
from d3gan.images import grid, save_picture
from d3gan.runs import RunFolder, current_row, numbered, writing
from d3gan.training import distributed
from d3gan.training.checkpoint import (
    BrokenCheckpoint,
    read_checkpoint,
    save_checkpoint,
    write_checkpoint,
)
from d3gan.training.early_stopping import Monitor
from d3gan.training.inference import EVALUATION_SEED, measure_generator
from d3gan.training.logging import Clock, NonFinite, Recorder
from d3gan.training.sampling import generate, latents, to_uint8
from d3gan.training.state import State


class Diverged(UserError):
    """The numbers of a run are not finite any more."""


class Milestones:
    """Writes them; the clock of training stands still meanwhile, and training goes on unchanged.

    All ranks call every method together.
    """

    def __init__(
        self,
        config: Config,
        run: RunFolder,
        state: State,
        images: ImageSet,
        clock: Clock,
        evaluator: Evaluator | None,
    ) -> None:
        self.config, self.run, self.state, self.clock = config, run, state, clock
        self.data_digest, self.evaluator = images.digest, evaluator
        if evaluator is not None:
            name = config.eval.monitor or next(iter(evaluator.asked))
            self.monitor = Monitor(name, evaluator.better[name], config.eval.patience)
            self._look_back(evaluator)

    def _look_back(self, evaluator: Evaluator) -> None:
        """Learn from the run's evaluations so far. Raises UserError if new ones would differ."""
        rows = [row for row in distributed.from_main(self.run.metrics) if row["kind"] == "eval"]
        kept = distributed.from_main(self._best_evaluation)
        if not rows and kept is not None:
            rows = [kept]  # metrics.jsonl was lost
        try:
            for row in rows:
                self.monitor.see(row)
            if rows:
                now = evaluator.protocol(
                    seed=EVALUATION_SEED, ema=self.state.average is not None
                ).to_dict()
                whose = (f"step {rows[-1]['step']}", "an evaluation by the config as it is now")
                check_comparable(rows[-1]["protocol"], now, whose)
        except KeyError as error:
            raise UserError(
                f"an evaluation in {self.run.metrics_file} lacks {error}; mend or remove its line"
            ) from error
        if rows and kept is None:
            if distributed.is_main():
                print(
                    f"d3gan: warning: {self.run.best_file} is missing or broken; the best "
                    "evaluation from now on will be kept there",
                    file=sys.stderr,
                )
            self.monitor.best = None

    def _best_evaluation(self) -> dict[str, Any] | None:
        """The row of metrics that best.pt was kept for."""
        try:
            row: dict[str, Any] | None = read_checkpoint(self.run.best_file).get("evaluation")
        except BrokenCheckpoint:
            return None
        return current_row(row) if row else None

    def is_evaluated(self) -> bool:
        """Whether there is an evaluation of this step, which a stopped run may not have taken."""
        rows = distributed.from_main(self.run.metrics)
        return any(row["kind"] == "eval" and row["step"] == self.state.step for row in rows)

    @property
    def exhausted(self) -> bool:
        """Whether the monitored metric has not improved for as long as patience allows."""
        return self.evaluator is not None and self.monitor.exhausted

    def save_samples(self) -> None:
        """A grid from the fixed latents of the run's seed."""
        config = self.config
        with self.clock.stopped(), self._sampler() as generator, distributed.raise_together():
            if distributed.is_main():
                z = latents(config.samples.count, config.model.latent_dim, config.seed)
                picture = grid(to_uint8(generate(generator, z)))
                with writing(self.run.path):
                    save_picture(picture, self.run.sample_file(self.state.step))

    def evaluate(self, recorder: Recorder, epoch_images: int) -> None:
        """A row of metrics, and checkpoints/best.pt if it is the best so far."""
        assert self.evaluator is not None
        images = self.state.step * self.config.images_per_step
        with self.clock.stopped():
            start = time.perf_counter()
            with self._sampler() as generator:
                measured = measure_generator(
                    self.evaluator,
                    generator,
                    self.config.model.latent_dim,
                    ema=self.state.average is not None,
                )
            row = {
                "kind": "eval",
                "step": self.state.step,
                "images": images,
                "epoch": images / epoch_images,
                "train_seconds": self.clock.seconds,
                "eval_seconds": time.perf_counter() - start,
                "monitor": self.monitor.name,
                **measured.to_dict(),
            }
            row["best"] = self.monitor.see(row)
            if row["best"]:
                with self._averaged():
                    self._save(evaluation=row)
            recorder.evaluated(row)

    def save_checkpoint(self) -> None:
        """The state to continue from."""
        with self.clock.stopped():
            # Averaged for good, so that a run that is continued has what this one goes on with.
            for network in self._generators():
                distributed.average_buffers(network)
            self._save()

    def tell_exhausted(self, total: int) -> str:
        """Print and return why training ends before its last step, and what that saves."""
        best, saved = self.monitor.best, (total - self.state.step) * self.config.images_per_step
        name, patience = self.monitor.name, self.config.eval.patience
        assert best is not None
        text = (
            f"stopped early at step {self.state.step} of {total}, which saves {saved:,} "
            f"images: {name} has not improved by more than its standard error for {patience} "
            f"evaluations (best: {best[name]:.4g} at step {best['step']}); "
            "continue with a larger --eval.patience"
        )
        if distributed.is_main():
            print(f"d3gan: {text}", file=sys.stderr)
        return text

    def diverged(self, what: str) -> Diverged:
        """The error that ends a run whose numbers are not finite."""
        kept = numbered(self.run.checkpoints, "pt")
        last = f"the last good checkpoint is {kept[-1]}" if kept else "nothing had been saved yet"
        return Diverged(
            f"{what}: training diverged; {last}; start anew, under another --name, with lower "
            "optim.lr_g and optim.lr_d or a larger gan.r1_gamma"
        )

    def _save(self, evaluation: dict[str, Any] | None = None) -> None:
        """Save the state. Raises NonFinite if a weight is infinite or not a number."""
        state = self.state
        if not state.is_finite():  # losses are of before the step; this is after it
            raise NonFinite(state.step, f"weights not finite after step {state.step}")
        state.train_seconds = self.clock.seconds
        saved = state.state_dict() | {"data_digest": self.data_digest}
        with distributed.raise_together():
            if distributed.is_main():
                if evaluation is not None:
                    write_checkpoint(self.run.best_file, saved | {"evaluation": evaluation})
                else:
                    save_checkpoint(self.run, saved, self.config.checkpoint.keep)

    @contextmanager
    def _sampler(self) -> Iterator[nn.Module]:
        """The generator to sample from, as a checkpoint would hold it."""
        with self._averaged(), in_full_precision(self.state.sampler):
            yield self.state.sampler

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Running statistics are the mean over ranks within the block."""
        with ExitStack() as stack:
            for network in self._generators():
                stack.enter_context(distributed.averaged_buffers(network))
            yield

    def _generators(self) -> list[nn.Module]:
        networks = (self.state.generator, self.state.average)
        return [network for network in networks if network is not None]
