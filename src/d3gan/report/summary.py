"""Summarise runs as rows of a table."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from d3gan.config_files import load_file
from d3gan.runs import RunFolder, last_report


def summary(run: RunFolder) -> dict[str, Any]:
    """Return sizes, time and speed of a run, its last losses and its best evaluation.

    They are those of the whole run even if rows of metrics.jsonl are lost; the losses are those of
    the last row that there is, and None without one. Raises UserError if there is no run.
    """
    run.require()
    rows, status, config = run.metrics(), run.status(), load_file(run.config_file)
    assert status is not None  # the run exists
    last = next((row for row in reversed(rows) if row["kind"] == "train"), None)
    images, seconds = status.step * config.images_per_step, status.train_seconds
    return {
        "name": run.path.name,
        "discriminators": config.gan.discriminators,
        "steps": status.step,
        "images": images,
        "train_seconds": seconds,
        "images_per_second": images / seconds if seconds else None,
        "loss_d": sum(last["loss_d"]) / len(last["loss_d"]) if last else None,
        "loss_g": last["loss_g"] if last else None,
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
            _text(row["images_per_second"], ".0f"),
            _text(row["loss_d"], ".2f"),
            _text(row["loss_g"], ".2f"),
            f"{best['metric']} {best[best['metric']]:.3g}" if best else "-",
        )
    return table


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"
