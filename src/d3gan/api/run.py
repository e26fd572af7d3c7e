"""A run as an object."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d3gan.api.frames import to_frame
from d3gan.config import Config
from d3gan.config_files import load_file
from d3gan.run_status import Status
from d3gan.runs import RunFolder, last_report, numbered, step_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Run(os.PathLike[str]):
    """A run that was begun: its folder, and what the files in it say now.

    ``d3gan.Run("runs/mnist-d3gan")`` opens a run. A run is accepted wherever its folder is, by
    Python's functions for paths too.

    Raises:
        UserError: If there is no run at the path.
    """

    path: Path
    """Folder of the run."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        self._folder.require()

    @property
    def _folder(self) -> RunFolder:
        return RunFolder(self.path)

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        status = self.status
        progress = f"{status.state} at step {status.step} of {status.total_steps}"
        return f"<Run {str(self.path)!r}, {progress}>"

    @property
    def config(self) -> Config:
        """The configuration."""
        return load_file(self._folder.config_file)

    @property
    def status(self) -> Status:
        """Whether the run is running or how it ended, and how far it came."""
        status = self._folder.status()
        assert status  # because the run exists
        return status

    def metrics(self, kind: str = "") -> list[dict[str, Any]]:
        """Return the rows of metrics, in the order in which they were written.

        Args:
            kind: "train" (losses and speed), "eval" (metrics of the generator) or "report" (those
                of the best checkpoint, on latents that did not select it); by default all rows.
                docs/run-folder.md describes them.

        Returns:
            One dictionary per row, with its ``kind``, ``step``, ``images``, ``epoch`` and
            ``train_seconds``, and the columns of its kind.
        """
        return [row for row in self._folder.metrics() if kind in ("", row["kind"])]

    def to_frame(self, kind: str = "train") -> "pd.DataFrame":
        """Return the rows of `metrics` of one kind as a frame, with one row per row.

        Raises:
            UserError: If pandas is not installed (``pip install "d3gan[frames]"``).
        """
        return to_frame(self.metrics(kind))

    @property
    def report(self) -> dict[str, Any] | None:
        """The row that counts: metrics of the best checkpoint, means over three draws of latents.

        It is None until the run has ended, and if the run takes no evaluations.
        """
        return last_report(self._folder.metrics())

    @property
    def samples(self) -> list[Path]:
        """Pictures of samples, PNG files, by step; all of them show the same latents."""
        return numbered(self._folder.samples, "png")

    @property
    def checkpoints(self) -> list[int]:
        """Steps that have a checkpoint, which `d3gan.load` takes; "best" may be another one."""
        return [step_of(file) for file in numbered(self._folder.checkpoints, "pt")]
