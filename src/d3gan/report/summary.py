"""Summarise runs as rows of a table."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from d3gan.runs import RunFolder, last_report


def summary(run: RunFolder) -> dict[str, Any]:
    """Return sizes, time and speed of a run, its last losses and its best evaluation."""
    rows = run.metrics()
    last = [row for row in rows if row["kind"] == "train"][-1]
    discriminators = len(last["loss_d"])
    return {
        "name": run.path.name,
        "discriminators": discriminators,
        "steps": last["step"],
        "images": last["images"],
        "train_seconds": last["train_seconds"],
        "images_per_second": last["images"] / last["train_seconds"],
        "loss_d": sum(last["loss_d"]) / discriminators,
        "loss_g": last["loss_g"],
        "best": _best(rows),
    }


def _best(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the monitored metric at the best checkpoint, or None if the run was not evaluated.

    It is the mean over `draws` draws of latents, or until the run has ended the value that selected
    the checkpoint, with 0 draws.
    """
    improvements = [row for row in rows if row["kind"] == "eval" and row["best"]]
    row = last_report(rows) or (improvements[-1] if improvements else None)
    if row is None:
        return None
    name, draws = row["monitor"], row.get("draws", 0)
    error = f"{name}_stderr"
    return {
        "step": row["step"],
        "metric": name,
        name: row[name],
        error: row[error],
        "draws": draws,
    }


def summary_table(runs: Sequence[RunFolder]) -> Table:
    """Return a table with one row per run that fits into 80 columns."""
    table = Table("run", box=None)
    for heading in ("N", "steps", "images", "train s", "images/s", "loss D", "loss G", "best"):
        table.add_column(heading, justify="right")
    for row in map(summary, runs):
        best = row["best"]
        table.add_row(
            row["name"],
            str(row["discriminators"]),
            f"{row['steps']:,}",
            f"{row['images']:,}",
            f"{row['train_seconds']:.1f}",
            f"{row['images_per_second']:.0f}",
            f"{row['loss_d']:.2f}",
            f"{row['loss_g']:.2f}",
            f"{best['metric']} {best[best['metric']]:.3g}" if best else "-",
        )
    return table
