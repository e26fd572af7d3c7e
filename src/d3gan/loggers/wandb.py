"""Weights & Biases."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from d3gan.extras import require
from d3gan.loggers.base import LoggedRun, Logger, Picture
from d3gan.messages import is_quiet

FINISH_SECONDS = 120.0
"""Time to upload what is left when a run ends.

Without a limit, a lost network would keep a finished run from ending. What is not uploaded stays in
the run's files for ``wandb sync``.
"""


@dataclass
class WandB(Logger):
    """A run on wandb.ai, or with WANDB_MODE=offline files for ``wandb sync``.

    W&B's environment variables (WANDB_MODE, WANDB_ENTITY, WANDB_DIR and others) apply; its files
    are written to the run folder unless WANDB_DIR names another.
    """

    project: str = ""
    """Name of the project; by default WANDB_PROJECT, or d3gan."""

    def __post_init__(self) -> None:
        require("wandb", "0.31", extra="wandb")

    def begin(self, run: LoggedRun, config: Mapping[str, Any]) -> None:
        import wandb

        self._run = wandb.init(
            project=self.project or os.environ.get("WANDB_PROJECT") or "d3gan",
            id=run.id,
            name=run.name,
            resume="allow",
            config=dict(config),
            dir=os.environ.get("WANDB_DIR") or run.folder,
            settings=wandb.Settings(
                console="off",
                silent=is_quiet(),
                finish_timeout=FINISH_SECONDS,
                finish_timeout_raises=True,
            ),
        )
        self._run.define_metric("*", step_metric="step")  # W&B's own step cannot decrease

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({"step": step, **values})

    def images(self, step: int, grid: Picture) -> None:
        import wandb

        self._run.log({"step": step, "samples": wandb.Image(grid)})

    def end(self, state: str) -> None:
        self._run.summary["state"] = state
        self._run.finish(exit_code=0 if state == "finished" else 1)
