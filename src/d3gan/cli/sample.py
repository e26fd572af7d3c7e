"""d3gan sample, d3gan export."""

import io
import math
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from torch import Tensor

from d3gan.cli.parsing import check_draw, check_output, parse
from d3gan.images import grid, save_picture, to_picture
from d3gan.progress import progress_bar
from d3gan.runs import write_bytes, writing
from d3gan.training.inference import TrainedGenerator, load
from d3gan.training.sampling import to_uint8

BLOCK = 512
"""Images held at once when many are written one by one."""
ROW = 8
"""Images of a row that leads from one latent to another."""

Run = Annotated[Path, tyro.conf.Positional]
Output = Annotated[Path, tyro.conf.arg(aliases=["-o"])]


def sample(arguments: list[str]) -> int:
    """Draw images from a run."""
    parse(_sample, arguments, "sample")
    return 0


def _sample(
    run: Run,
    count: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64,
    seed: int = 0,
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None,
    format: Literal["grid", "png", "npz"] = "grid",
    interpolate: bool = False,
    checkpoint: str = "last",
) -> None:
    """Draw images from a trained generator.

    Args:
        run: A run's folder, or a .safetensors file that `d3gan export` wrote.
        count: How many images.
        seed: Which images: the same seed gives the same ones.
        output: The file to write, or with --format png the folder; if not given grid.png,
            samples, or samples.npz.
        format: One grid, many PNG files, or one array `images` [M, H, W, C] of uint8.
        interpolate: Rows of eight, each leading from one latent to another.
        checkpoint: Of a run: best, last or a step.
    """
    check_draw(count, seed)
    output = output or Path({"grid": "grid.png", "png": "samples", "npz": "samples.npz"}[format])
    check_output(output, {"grid": (".png",), "png": (), "npz": (".npz",)}[format])
    trained = load(run, checkpoint)
    if format == "png":
        _write_single(trained, count, seed, output, interpolate)
    else:
        images = to_uint8(2 * _draw(trained, count, seed, interpolate) - 1)
        with writing(output):
            output.parent.mkdir(parents=True, exist_ok=True)
            if format == "npz":
                buffer = io.BytesIO()
                np.savez_compressed(buffer, images=images.transpose(0, 2, 3, 1))
                write_bytes(output, buffer.getvalue())
            else:
                save_picture(grid(images, ROW if interpolate else None), output)
    print(f"{count} images from step {trained.step} of {run}: {output}")


def _draw(trained: TrainedGenerator, count: int, seed: int, interpolate: bool) -> Tensor:
    if not interpolate:
        return trained.sample(count, seed)
    return trained.interpolate(math.ceil(count / ROW), ROW, seed)[:count]


def _write_single(
    trained: TrainedGenerator, count: int, seed: int, folder: Path, interpolate: bool
) -> None:
    """As count files 000000.png and on."""
    with writing(folder), progress_bar("sampling", count) as bar:
        folder.mkdir(parents=True, exist_ok=True)
        everything = _draw(trained, count, seed, True) if interpolate else None
        for first in range(0, count, BLOCK):
            size = min(BLOCK, count - first)
            block = (
                trained.sample(size, seed, first)
                if everything is None
                else everything[first : first + size]
            )
            for number, image in enumerate(to_uint8(2 * block - 1), start=first):
                save_picture(to_picture(image), folder / f"{number:06d}.png")
            bar.advance(size)


def export(arguments: list[str]) -> int:
    """Write a run's generator to a file of its own."""
    parse(_export, arguments, "export")
    return 0


def _export(run: Run, output: Output, checkpoint: str = "last") -> None:
    """Write a trained generator to one file that needs no run folder.

    Args:
        run: A run's folder.
        output: NAME.safetensors (weights and config; d3gan.load and d3gan sample read it) or
            NAME.onnx (z [B, latent] -> images [B, C, H, W] in [-1, 1]).
        checkpoint: best, last or a step.
    """
    check_output(output, (".safetensors", ".onnx"))
    trained = load(run, checkpoint)
    trained.save(output)
    print(f"generator of step {trained.step} of {run}: {output}")
