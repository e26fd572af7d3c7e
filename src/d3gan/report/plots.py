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


def step_plot(rows: Sequence[dict[str, Any]], file: Path) -> None:
    """Throughput against batch size, by engine, discriminators and precision.

    `rows` are those of `d3gan bench step`. Raises UserError if `file` cannot be written.
    """
    figure, axes = _figure("batch size", "images per second", "one process")
    lines: dict[tuple[str, int, str], list[dict[str, Any]]] = {}
    for row in rows:
        key = (row["engine"], row["discriminators"], row["precision"])
        lines.setdefault(key, []).append(row)
    engines = list(dict.fromkeys(engine for engine, _, _ in lines))
    precisions = list(dict.fromkeys(precision for _, _, precision in lines))
    counts = sorted({count for _, count, _ in lines})
    for (engine, count, precision), points in lines.items():
        points = sorted(points, key=lambda row: row["batch_size"])
        axes.errorbar(
            [row["batch_size"] for row in points],
            [row["images_per_second"] for row in points],
            yerr=[
                [row["images_per_second"] - row["images_per_second_low"] for row in points],
                [row["images_per_second_high"] - row["images_per_second"] for row in points],
            ],
            color=f"C{counts.index(count)}",
            linestyle=LINES[precisions.index(precision) % len(LINES)],
            marker=MARKERS[engines.index(engine) % len(MARKERS)],
            fillstyle="full" if engine == engines[0] else "none",
            capsize=3,
            label=f"{engine}, N = {count}, {precision}",
        )
    axes.set_xticks(sorted({row["batch_size"] for row in rows}))
    axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
    axes.legend(fontsize="small")
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=150)


def _figure(x: str, y: str, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axes: Axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y, title=title)
    axes.grid(alpha=0.3)
    return figure, axes


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _scaling_figure(
    rows: Sequence[dict[str, Any]],
    label: str,
    value: Callable[[dict[str, Any]], float | None],
    title: str,
) -> Figure:
    figure, axes = _figure("processes", label, title)
    lines: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        # One process needs no backend and no mesh: it is where the lines of all of them begin.
        alike = [r for r in rows if r["preset"] == row["preset"] and r["processes"] > 1]
        for one in [row] if row["processes"] > 1 or not alike else alike:
            how = ", ".join(word for word in (one["backend"], one["mesh"]) if word)
            points = lines.setdefault((row["preset"], how), [])
            if row not in points:
                points.append(row)
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
    axes.set_xticks(sorted({row["processes"] for row in rows}))
    axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
    axes.legend(fontsize="small")
    return figure
