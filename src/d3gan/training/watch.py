"""Warns of what goes wrong while a run is trained, once for each kind, and judges it at the end."""

from typing import Any

import numpy as np

from d3gan.config import Config, may_change_on_resume
from d3gan.images import Images
from d3gan.messages import always, detail, warn
from d3gan.progress import epoch_text
from d3gan.runs import RunFolder, last_report
from d3gan.training import distributed, health
from d3gan.training.build import build_rules
from d3gan.training.early_stopping import Monitor
from d3gan.training.health import Expectations, Finding

Row = dict[str, Any]


class Watch:
    """Sees all rows of a run and its sample grids, on the main rank."""

    def __init__(
        self, config: Config, run: RunFolder, total_steps: int, monitor: Monitor | None
    ) -> None:
        self._config, self._run = config, run
        objective = build_rules(config.gan).objective
        self._expected = Expectations(
            total_steps,
            health.chance_losses(objective, config.gan.discriminators),
            lower_is_better=monitor is None or monitor.lower_is_better,
        )
        self._rows: dict[str, list[Row]] = {"train": [], "eval": []}
        self._spreads: list[tuple[int, float]] = []
        self._warned: dict[str, str] = {}
        self._saw_rows = False
        for row in run.metrics() if distributed.is_main() else ():
            self._remember(row)

    def _remember(self, row: Row) -> None:
        if row["kind"] in self._rows:
            self._rows[row["kind"]].append(row)
        elif row["kind"] == "warning":
            self._warned[row["name"]] = row["message"]

    def evaluation_seconds(self) -> float | None:
        """Return how long the last evaluation took; None if there was none."""
        rows = self._rows["eval"]
        return float(rows[-1]["eval_seconds"]) if rows else None

    def see(self, row: Row) -> list[Row]:
        """Return rows of the kind "warning" for what a new row shows first; print them."""
        self._remember(row)
        self._saw_rows = True
        if row["kind"] == "eval":
            name, about = row["monitor"], ", saved as best.pt" if row["best"] else ""
            if row["step"] == 0:
                about = ", before training (never saved as best.pt)"
            detail(
                f"epoch {epoch_text(row['epoch'])}: {name} {row[name]:.4g} ± "
                f"{row[f'{name}_stderr']:.1g}{about}; measured in {row['eval_seconds']:.1f} s"
            )
        if row["kind"] not in self._rows:
            return []
        new = [found for found in self._findings() if found.name not in self._warned]
        for found in new:
            self._warned[found.name] = str(found)
            warn(str(found))
        progress = {key: row[key] for key in ("step", "images", "epoch", "train_seconds")}
        return [
            {"kind": "warning", **progress, "name": found.name, "message": str(found)}
            for found in new
        ]

    def see_samples(self, step: int, images: Images) -> None:
        """See the images uint8 [M, C, H, W] of a sample grid; the next row shows what is wrong."""
        if len(images) > 1:
            self._spreads.append((step, float(np.std(images, axis=0).mean())))

    def _findings(self) -> list[Finding]:
        return [
            *health.of_losses(self._rows["train"], self._expected),
            *health.of_evaluations(self._rows["eval"], self._expected),
            *health.of_samples(self._spreads),
        ]

    def finish(self) -> None:
        """Print one line on the whole run, on the main rank, also if the program is quiet.

        Nothing is printed for a run that had finished before.
        """
        if not distributed.is_main() or not self._saw_rows:
            return
        found = self._findings()
        holds = [each.name for each in found]
        line = health.verdict(
            found,
            self._rows["eval"],
            self._expected,
            epochs=self._config.train.epochs,
            earlier=[text for name, text in self._warned.items() if name not in holds],
            measured=last_report(self._run.metrics()),
            extendable=may_change_on_resume("train.epochs", self._config),
        )
        taken = sum(row["eval_seconds"] for row in self._rows["eval"])
        detail(f"evaluations took {taken:.1f} s (not counted in the training time)")
        always(f"{self._config.name}: {line}")
