"""Measures real images against real images: every metric in cases whose order is known.

    python benchmarks/real_against_real.py mnist cifar10

The test images of a data set, unchanged and degraded in known ways, are compared with its training
images. The program writes results/real-against-real.json beside this file and prints the tables of
docs/metrics.md. It takes two and a half minutes on two CPU cores once the classifiers are trained.
"""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter

from d3gan.config import DataConfig, EvalConfig
from d3gan.data.cache import load_images
from d3gan.evaluation.evaluator import Evaluator
from d3gan.evaluation.metrics.names import metric_names
from d3gan.evaluation.real_statistics import drawn_from
from d3gan.images import Images, to_picture
from d3gan.rng import Stream, uniform
from d3gan.training.environment import environment

ENVIRONMENT = ("commit", "cpu", "cpus", "threads", "gpus", "python", "packages")
RESULTS = Path(__file__).parent / "results" / "real-against-real.json"


def each(change: Callable[[Image.Image], Image.Image]) -> Callable[[Images], Images]:
    """Return a function that applies `change` to each of images [M, C, H, W]."""

    def changed(images: Images) -> Images:
        arrays = [np.asarray(change(to_picture(image))) for image in images]
        return np.stack([a[None] if a.ndim == 2 else a.transpose(2, 0, 1) for a in arrays])

    return changed


def blur(radius: float) -> Callable[[Images], Images]:
    """Return a Gaussian blur of images; `radius` is its standard deviation in pixels."""
    return each(lambda picture: picture.filter(ImageFilter.GaussianBlur(radius)))


def jpeg(quality: int) -> Callable[[Images], Images]:
    """Return a function that compresses images with JPEG."""

    def compressed(picture: Image.Image) -> Image.Image:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return each(compressed)


def noise(images: Images) -> Images:
    """Return uniform noise of the same shape as the images."""
    draws = uniform(0, Stream.SUBSET, 1, torch.arange(images.size), 1)
    return (256 * draws.numpy()).astype(np.uint8).reshape(images.shape)


DEGRADED: dict[str, Callable[[Images], Images]] = {
    "test images": lambda images: images,
    "blur 0.5 px": blur(0.5),
    "blur 1 px": blur(1.0),
    "blur 2 px": blur(2.0),
    "JPEG quality 75": jpeg(75),
    "JPEG quality 25": jpeg(25),
    "JPEG quality 5": jpeg(5),
    "noise": noise,
}


def measure(source: str) -> list[dict[str, Any]]:
    """Return a row of results for each way to degrade the test images, and one for class 0 only."""
    channels = 1 if source in ("digits", "mnist", "fashion-mnist") else 3
    train = DataConfig(source, resolution=32, channels=channels)
    test = load_images(DataConfig(source, "test", resolution=32, channels=train.channels))
    real = load_images(train)
    sets = {name: change(test.images) for name, change in DEGRADED.items()}
    sets["class 0 alone"] = test.images[test.labels == 0]
    rows = []
    for name, images in sets.items():
        wanted = EvalConfig(samples=len(images), features="classifier")
        evaluator = Evaluator(train, real, wanted, torch.device("cpu"))
        measured = evaluator.measure(drawn_from(images), title=name)
        rows.append({"source": source, "images": name, **measured.to_dict()})
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    shown = [name for name in metric_names("classifier") if name in rows[0]]
    lines = [
        f"| {rows[0]['source']} | " + " | ".join(shown) + " |",
        "|---" * (len(shown) + 1) + "|",
    ]
    for row in rows:
        cells = " | ".join(f"{row[name]:.3g}" for name in shown)
        lines.append(f"| {row['images']} | {cells} |")
    return "\n".join(lines)


if __name__ == "__main__":
    measured = {source: measure(source) for source in sys.argv[1:] or ["mnist", "cifar10"]}
    rows = [row for part in measured.values() for row in part]
    RESULTS.parent.mkdir(exist_ok=True)
    where = environment()
    result = {"environment": {key: where[key] for key in ENVIRONMENT}, "rows": rows}
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print("\n\n".join(table(part) for part in measured.values()))
