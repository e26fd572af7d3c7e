"""Train a run from Python, and watch it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from d3gan.api.arguments import Images, StrPath, configured
from d3gan.api.run import Run
from d3gan.config import Config
from d3gan.evaluation.metrics.names import check_evaluation


@dataclass
class Progress:
    """What the callback of `d3gan.train` is given with every row of metrics."""

    run: Run
    """The run, whose files hold everything up to now."""
    row: Mapping[str, Any]
    """The row that was just written; ``row["kind"]`` says what it holds (`Run.metrics`)."""
    stopping: bool = False
    """Whether `stop` was called."""

    @property
    def step(self) -> int:
        """Steps done when the row was made."""
        return int(self.row["step"])

    @property
    def total_steps(self) -> int:
        """Steps of the complete run."""
        return self.run.status.total_steps

    def stop(self) -> None:
        """End training after this step, with samples and a checkpoint.

        The run is "stopped_early" then; training it again continues it.
        """
        self.stopping = True


def train(
    start: StrPath | Config,
    changes: Mapping[str, Any] | None = None,
    *,
    data: Images | None = None,
    callback: Callable[[Progress], object] | None = None,
) -> Run:
    """Train a new run, or resume one, and return it.

    Ctrl-C (in a notebook: interrupt the kernel) finishes the step, saves a checkpoint and raises
    `d3gan.Interrupted`, which is a KeyboardInterrupt. In a thread other than the main one there are
    no signals; there `Progress.stop` ends training.

    Args:
        start: A preset, a .toml file, a `Config`, or the folder of a run to resume.
        changes: Values of the configuration by key, dotted or nested:
            ``{"train.epochs": 3, "gan": {"discriminators": 4}}``.
        data: Images to train on instead of those of `data.source`: a name, a folder or a file; a
            ``torch.utils.data.Dataset`` or a list of images or pairs (image, label); an array or
            tensor [M, H, W], [M, H, W, C] or [M, C, H, W]; or a tuple (images, labels). Images are
            Pillow images, or arrays of uint8 or of floats in [0, 1]. They are read once and stored
            in the cache by their content, so that the run can be resumed and evaluated without
            them.
        callback: Called with a `Progress` after every row of metrics: every
            ``train.log_every_steps`` steps, whenever samples or a checkpoint are due, and after
            every evaluation. Training waits for it, and its time does not count as training. If it
            raises, a checkpoint is saved, and the exception is raised here.

    Returns:
        The run, which has ended.

    Raises:
        UserError: For a mistake in the arguments, and if files cannot be written.
        Diverged: If a loss is not finite any more. It is a UserError.
        Interrupted: After Ctrl-C or SIGTERM.
    """
    config, resume = configured(start, changes, data)
    check_evaluation(config.eval)
    from d3gan.training import trainer  # imports torch

    def on_row(row: Mapping[str, Any]) -> bool:
        assert callback
        progress = Progress(Run(config.run_dir), row)
        callback(progress)
        return progress.stopping

    return Run(trainer.train(config, resume=resume, on_row=on_row if callback else None).path)
