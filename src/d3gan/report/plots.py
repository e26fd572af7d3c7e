"""Plot benchmarks, as PNG files."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from d3gan.files import writing
from d3gan.report.chart import LINES, MARKERS, METHOD_COLOURS, empty_axes

Row = Mapping[str, Any]

_QUANTITIES: Final[dict[str, tuple[str, Callable[[Row], float | None]]]] = {
    "throughput": ("images per second", lambda row: row["images_per_second"]),
    "epoch-time": ("seconds per epoch", lambda row: row["epoch_seconds"]),
    "utilisation": ("utilisation, %", lambda row: _scaled(row["utilisation"], 100)),
    "peak-memory": (
        "peak memory per process, GB",
        lambda row: _scaled(row["peak_memory_bytes"], 1e-9),
    ),
}


def scaling_plots(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Plot throughput, epoch time, utilisation and peak memory against the number of processes.

    `rows` are those of `d3gan bench scaling`. There is one file per kind of scaling and quantity,
    with all presets in it. Raises UserError if `folder` cannot be written.
    """
    files = []
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for scaling in dict.fromkeys(row["scaling"] for row in rows):
            of_kind = [row for row in rows if row["scaling"] == scaling]
            for name, (label, value) in _QUANTITIES.items():
                files.append(folder / f"{scaling}-{name}.png")
                _scaling_figure(of_kind, label, value, scaling).savefig(files[-1], dpi=150)
    return files


def step_plot(rows: Sequence[Row], file: Path) -> None:
    """Plot throughput against batch size, by engine, number of discriminators and precision.

    `rows` are those of `d3gan bench step`. Raises UserError if `file` cannot be written.
    """
    figure, axes = _figure("batch size", "images per second", "one process")
    lines: dict[tuple[str, int, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: row["batch_size"]):
        key = (row["engine"], row["discriminators"], row["precision"])
        lines.setdefault(key, []).append(row)
    engines, counts, precisions = (sorted({key[i] for key in lines}) for i in range(3))
    for (engine, count, precision), points in lines.items():
        speed = [row["images_per_second"] for row in points]
        axes.errorbar(
            [row["batch_size"] for row in points],
            speed,
            yerr=[
                [y - row["images_per_second_low"] for y, row in zip(speed, points, strict=True)],
                [row["images_per_second_high"] - y for y, row in zip(speed, points, strict=True)],
            ],
            color=METHOD_COLOURS[counts.index(count) % len(METHOD_COLOURS)],
            linestyle=LINES[precisions.index(precision) % len(LINES)],
            marker=MARKERS[engines.index(engine) % len(MARKERS)],
            capsize=3,
            label=f"{engine}, N = {count}, {precision}",
        )
    _finish(axes, {row["batch_size"] for row in rows})
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=150)


def _scaling_figure(
    rows: Sequence[Row], label: str, value: Callable[[Row], float | None], scaling: str
) -> Figure:
    figure, axes = _figure("processes", label, f"{scaling} scaling")
    lines: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        # One process needs no backend and no mesh; every line of its preset starts from it.
        others = [r for r in rows if r["preset"] == row["preset"] and r["processes"] > 1]
        for one in [row] if row["processes"] > 1 or not others else others:
            how = ", ".join(word for word in (one["backend"], one["mesh"]) if word)
            points = lines.setdefault((row["preset"], how), [])
            if row not in points:
                points.append(row)
    presets, hows = (list(dict.fromkeys(key[i] for key in lines)) for i in range(2))
    for (preset, how), points in lines.items():
        known = [(row["processes"], y) for row in points if (y := value(row)) is not None]
        if known:
            axes.plot(
                *zip(*sorted(known), strict=True),
                color=METHOD_COLOURS[presets.index(preset) % len(METHOD_COLOURS)],
                linestyle=LINES[hows.index(how) % len(LINES)],
                marker=MARKERS[hows.index(how) % len(MARKERS)],
                label=f"{preset} ({how})" if how else preset,
            )
    _finish(axes, {row["processes"] for row in rows})
    return figure


def _figure(x: str, y: str, title: str) -> tuple[Figure, Axes]:
    figure, axes = empty_axes(5.2, 3.6)
    axes.set(xlabel=x, ylabel=y, title=title)
    return figure, axes


def _finish(axes: Axes, ticks: set[int]) -> None:
    axes.set_xticks(sorted(ticks))
    axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small", frameon=False)


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
