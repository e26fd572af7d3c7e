"""d3gan sample, d3gan export."""

import io
import math
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro

from d3gan.cli.parsing import check_output, parse
from d3gan.errors import UserError
from d3gan.extras import require_onnx
from d3gan.fields import check_draw
from d3gan.files import write_bytes, writing
from d3gan.hub import hub_model
from d3gan.images import Pictures, grid, save_picture, to_picture
from d3gan.outputs import MARK, check_picture_folder, check_replaceable, remove_numbered
from d3gan.progress import progress_bar
from d3gan.runs import RunFolder

if TYPE_CHECKING:
    from torch import Tensor

    from d3gan.training.generator import TrainedGenerator

BLOCK = 512
"""Number of images held in memory when many are written one by one."""
ROW = 8
"""Number of images in a row that leads from one latent to another."""

Run = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
Output = Annotated[Path, tyro.conf.arg(aliases=["-o"])]
Overwrite = Annotated[bool, tyro.conf.FlagCreatePairsOff]


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
    label: int | None = None,
    interpolate: bool = False,
    checkpoint: str = "last",
    overwrite: Overwrite = False,
) -> None:
    """Draw images from a trained generator.

    Args:
        run: A run's folder, a .safetensors file of `d3gan export`, or hf://owner/name[@revision].
        count: Number of images.
        seed: Seed of the latents: the same seed gives the same images.
        output: The file to write, or with --format png the folder; by default grid.png, samples or
            samples.npz.
        format: One grid, many PNG files, or one array `images` [M, H, W, C] of uint8, with `labels`
            [M] if the run is conditional.
        label: Class of the images of a conditional run; by default a grid has one row per class,
            and other formats have random classes.
        interpolate: Draw rows of eight images that lead from one latent to another.
        checkpoint: Checkpoint of a run: best, last or a step.
        overwrite: Also replace a file that another program wrote; files written by d3gan are
            replaced without this flag. With --format png it is needed to replace the images that
            d3gan wrote into the folder, and other files there are never touched.
    """
    check_draw(count, seed)
    output = output or Path({"grid": "grid.png", "png": "samples", "npz": "samples.npz"}[format])
    check_output(output, {"grid": (".png",), "png": (), "npz": (".npz",)}[format])
    if format == "png":
        check_picture_folder(output, overwrite=overwrite)
    else:
        check_replaceable(output, overwrite=overwrite)
    if interpolate and label is not None:
        raise UserError(f"label = {label}: --interpolate draws one class per row; leave one out")
    trained = _load(run, checkpoint, "sample")
    labels = trained.labels(count, seed, label=label)  # checks the label before anything is written
    blocks: Iterable[Pictures]
    columns = None
    if interpolate:
        blocks = [trained.interpolate(math.ceil(count / ROW), ROW, seed)[:count]]
        columns, labels = ROW, None
    elif format == "grid" and label is None:
        images, columns = trained.sample_grid(count, seed)
        blocks, count = [images], len(images)
    else:
        blocks = _blocks(trained, count, seed, label)
    with writing(output):
        if format == "png":
            _write_files(blocks, count, output)
        else:
            images = np.concatenate(list(blocks))
            output.parent.mkdir(parents=True, exist_ok=True)
            if format == "grid":
                save_picture(grid(images.transpose(0, 3, 1, 2), columns), output)
            else:
                _write_array(images, labels, output)
    print(f"{count} images from step {trained.step} of {hub_model(run) or run}: {output}")


def _load(path: Path, checkpoint: str, command: str) -> "TrainedGenerator":
    """Return the generator of a run folder or an export, for a command. Raises UserError."""
    if path.suffix != ".safetensors" and not hub_model(path):
        RunFolder(path).require(command)
    from d3gan.training.inference import load  # importing torch takes seconds

    return load(path, checkpoint)


def _blocks(
    trained: "TrainedGenerator", count: int, seed: int, label: int | None
) -> Iterator[Pictures]:
    """Yield `count` images [M, H, W, C], a block at a time."""
    for first in range(0, count, BLOCK):
        yield trained.sample(min(BLOCK, count - first), seed, label, first)


def _write_files(blocks: Iterable[Pictures], count: int, folder: Path) -> None:
    """Write the images as files 000000.png, 000001.png, ..., in place of those written before."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    with progress_bar("sampling", count) as bar:
        for block in blocks:
            for image in block:
                save_picture(to_picture(image.transpose(2, 0, 1)), folder / f"{number:06d}.png")
                number += 1
            bar.advance(len(block))
    remove_numbered(folder, number)


def _write_array(images: Pictures, labels: "Tensor | None", file: Path) -> None:
    """Write an .npz of `images` [M, H, W, C], and of `labels` [M] if there are any."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {} if labels is None else {"labels": labels.numpy()}
    np.savez_compressed(buffer, images=images, **arrays)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = MARK.encode()
    write_bytes(file, buffer.getvalue())


def export(arguments: list[str]) -> int:
    """Write a run's generator to one file."""
    if any(word.partition("=")[0] == "--format" for word in arguments):
        raise UserError(
            "unknown flag --format: the name after -o decides the format, NAME.safetensors or "
            "NAME.onnx; see d3gan export --help"
        )
    parse(_export, arguments, "export", example="d3gan export runs/demo-d3gan -o demo.safetensors")
    return 0


def _export(
    run: Run, output: Output, checkpoint: str = "last", overwrite: Overwrite = False
) -> None:
    """Write a trained generator to one file that needs no run folder.

    Args:
        run: A run's folder.
        output: NAME.safetensors (weights and config; d3gan.load and d3gan sample read it) or
            NAME.onnx (z [B, latent] -> images [B, C, H, W] in [-1, 1]).
        checkpoint: Checkpoint of the run: best, last or a step.
        overwrite: Also replace a file that another program wrote; files written by d3gan are
            replaced without this flag.
    """
    check_output(output, (".safetensors", ".onnx"))
    check_replaceable(output, overwrite=overwrite)
    if output.suffix == ".onnx":
        require_onnx()
    trained = _load(run, checkpoint, "export")
    trained.save(output)
    print(f"generator of step {trained.step} of {run}: {output}")
