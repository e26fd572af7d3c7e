"""d3gan sample, d3gan export."""

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from d3gan.cli.parsing import check_draw, check_output, parse
from d3gan.files import write_bytes, writing
from d3gan.images import Images, grid, save_picture, to_picture
from d3gan.progress import progress_bar
from d3gan.runs import RunFolder

if TYPE_CHECKING:
    from torch import Tensor

    from d3gan.training.inference import TrainedGenerator

BLOCK = 512
"""Number of images held in memory when many are written one by one."""
ROW = 8
"""Number of images in a row that leads from one latent to another."""

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
        run: A run's folder, or a .safetensors file written by `d3gan export`.
        count: Number of images.
        seed: Seed of the latents: the same seed gives the same images.
        output: The file to write, or with --format png the folder; by default grid.png, samples or
            samples.npz.
        format: One grid, many PNG files, or one array `images` [M, H, W, C] of uint8.
        interpolate: Draw rows of eight images that lead from one latent to another.
        checkpoint: Checkpoint of a run: best, last or a step.
    """
    check_draw(count, seed)
    output = output or Path({"grid": "grid.png", "png": "samples", "npz": "samples.npz"}[format])
    check_output(output, {"grid": (".png",), "png": (), "npz": (".npz",)}[format])
    trained = _load(run, checkpoint)
    if format == "png":
        _write_single(trained, count, seed, output, interpolate)
    else:
        images = _pixels(_draw(trained, count, seed, interpolate))
        with writing(output):
            output.parent.mkdir(parents=True, exist_ok=True)
            if format == "npz":
                import numpy as np

                buffer = io.BytesIO()
                np.savez_compressed(buffer, images=images.transpose(0, 2, 3, 1))
                write_bytes(output, buffer.getvalue())
            else:
                save_picture(grid(images, ROW if interpolate else None), output)
    print(f"{count} images from step {trained.step} of {run}: {output}")


def _load(path: Path, checkpoint: str) -> "TrainedGenerator":
    """Return the generator of a run folder or an export. Raises UserError."""
    if path.suffix != ".safetensors":
        RunFolder(path).require()
    from d3gan.training.inference import load  # importing torch takes seconds

    return load(path, checkpoint)


def _pixels(images: "Tensor") -> Images:
    """Convert images in [0, 1] to uint8."""
    from d3gan.training.sampling import to_uint8

    return to_uint8(2 * images - 1)


def _draw(trained: "TrainedGenerator", count: int, seed: int, interpolate: bool) -> "Tensor":
    if not interpolate:
        return trained.sample(count, seed)
    return trained.interpolate(math.ceil(count / ROW), ROW, seed)[:count]


def _write_single(
    trained: "TrainedGenerator", count: int, seed: int, folder: Path, interpolate: bool
) -> None:
    """Write the images as files 000000.png, 000001.png, ..."""
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
            for number, image in enumerate(_pixels(block), start=first):
                save_picture(to_picture(image), folder / f"{number:06d}.png")
            bar.advance(size)


def export(arguments: list[str]) -> int:
    """Write a run's generator to one file."""
    parse(_export, arguments, "export")
    return 0


def _export(run: Run, output: Output, checkpoint: str = "last") -> None:
    """Write a trained generator to one file that needs no run folder.

    Args:
        run: A run's folder.
        output: NAME.safetensors (weights and config; d3gan.load and d3gan sample read it) or
            NAME.onnx (z [B, latent] -> images [B, C, H, W] in [-1, 1]).
        checkpoint: Checkpoint of the run: best, last or a step.
    """
    check_output(output, (".safetensors", ".onnx"))
    trained = _load(run, checkpoint)
    trained.save(output)
    print(f"generator of step {trained.step} of {run}: {output}")
