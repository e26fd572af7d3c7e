"""Trackio, the tracker of Hugging Face."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from d3gan.extras import require
from d3gan.loggers.base import LoggedRun, Logger, Picture


@dataclass
class Trackio(Logger):
    """A run in Trackio's database on this machine; ``trackio show`` displays it.

    Trackio's environment variables apply: TRACKIO_DIR is the folder of the database, and
    TRACKIO_SPACE_ID a Space of the hub that receives the run instead.
    """

    project: str = "d3gan"
    """Name of the project."""

    def __post_init__(self) -> None:
        require("trackio", "0.40", extra="trackio")

    def begin(self, run: LoggedRun, config: Mapping[str, Any]) -> None:
        import trackio

        self._run = trackio.init(
            project=self.project,
            name=f"{run.name}-{run.id}",  # Trackio resumes a run by its name
            resume="allow",
            config=dict(config),
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def images(self, step: int, grid: Picture) -> None:
        import trackio

        self._run.log({"samples": trackio.Image(grid)}, step=step)

    def end(self, state: str) -> None:
        import trackio

        trackio.finish()  # the run's own method would leave it to print once more at exit
