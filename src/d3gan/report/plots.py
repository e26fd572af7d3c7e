"""Plots, as files."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from d3gan.runs import writing

MARKERS = "osD^vP*X"
LINES = ("-", "--", ":", "-.")


def scaling_plots(rows: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    """Throughput, epoch time, utilisation and peak memory against the number of processes.

    `rows` are those of `d3gan bench scaling`; one file of each kind of scaling per quantity, the
    presets beside one another. Raises UserError if `folder` cannot be written.
    """
    quantities: dict[str, tuple[str, Callable[[dict[str, Any]], float | None]]] = {
        "throughput": ("images per second", lambda row: row["images_per_second"]),
        "epoch-time": ("seconds per epoch", lambda row: row["epoch_seconds"]),
        "utilisation": ("utilisation, %", lambda row: _times(row["utilisation"], 100)),
        "peak-memory": (
            "peak memory per process, GB",
            lambda r: _times(r["peak_memory_bytes"], 1e-9),
        ),
    }
    files = []
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for scaling in dict.fromkeys(row["scaling"] for row in rows):
            here = [row for row in rows if row["scaling"] == scaling]
            for name, (label, value) in quantities.items():
                file = folder / f"{scaling}-{name}.png"
                _scaling_figure(here, label, value, f"{scaling} scaling").savefig(file, dpi=150)
                files.append(file)
    return files


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _scaling_figure(
    rows: Sequence[dict[str, Any]],
    label: str,
    value: Callable[[dict[str, Any]], float | None],
    title: str,
) -> Figure:
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axes: Axes = figure.subplots()
    lines: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        # One process needs no backend: it is where the lines of all backends begin.
        backends = {r["backend"] for r in rows if r["preset"] == row["preset"] and r["backend"]}
        for backend in [row["backend"]] if row["backend"] else backends or {""}:
            how = ", ".join(word for word in (backend, row["mesh"]) if word)
            lines.setdefault((row["preset"], how), []).append(row)
    presets = list(dict.fromkeys(preset for preset, _ in lines))
    hows = list(dict.fromkeys(how for _, how in lines))
    for (preset, how), points in lines.items():
        points = sorted(points, key=lambda row: row["processes"])
        known = [(row["processes"], y) for row in points if (y := value(row)) is not None]
        if known:
            axes.plot(
                *zip(*known, strict=True),
                color=f"C{presets.index(preset)}",
                linestyle=LINES[hows.index(how) % len(LINES)],
                marker=MARKERS[hows.index(how) % len(MARKERS)],
                label=f"{preset} ({how})" if how else preset,
            )
    axes.set_xlabel("processes")
    axes.set_ylabel(label)
    axes.set_title(title)
    axes.set_xticks(sorted({row["processes"] for row in rows}))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure
