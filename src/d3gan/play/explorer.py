"""What the page of `d3gan play` shows: pictures, as functions of its controls."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from d3gan.hub import hub_model
from d3gan.images import to_picture
from d3gan.messages import warn
from d3gan.play.directions import Directions, moved, principal_directions
from d3gan.training.generator import TrainedGenerator
from d3gan.training.inference import BrokenCheckpoint, checkpoints, load
from d3gan.training.sampling import spherical

DIRECTIONS = 6
"""Number of directions with a slider."""
WALK = 8
"""Number of images of a walk from one seed to another."""
SHEET = 24
"""Number of images of the sheet: 4 rows of 6 on a phone, 2 rows of 12 on a desktop."""
KEPT = 8
"""Number of checkpoints held in memory."""


@dataclass(frozen=True)
class Checkpoint:
    """One point of the slider over time."""

    name: str
    """Name for `d3gan.load`: last, best or a step."""
    step: int | None
    """Number of steps; None for an export."""
    best: bool = False

    @property
    def text(self) -> str:
        """What the page says of it."""
        step = "export" if self.step is None else f"step {self.step:,}"
        return f"{step} (best)" if self.best else step


@dataclass(frozen=True)
class View:
    """The values of the page's controls."""

    checkpoint: int = -1
    """Number of the checkpoint in `Explorer.checkpoints`, which are sorted by step."""
    seed: int = 0
    """Seed of the image, and of the sheet."""
    other_seed: int = 1
    """Seed of the image at the end of the walk."""
    position: float = 0.0
    """Place on the walk: 0 at `seed`, 1 at `other_seed`."""
    label: int | None = None
    """Class of all images of a conditional generator; None: drawn at random."""
    offsets: tuple[float, ...] = ()
    """Steps along the principal directions, in standard deviations of the latents."""


class Shown(NamedTuple):
    """The pictures of a view."""

    image: Image.Image
    """The image at the view's place on the walk."""
    walk: list[Image.Image]
    """`WALK` images that lead from one seed to the other."""
    sheet: list[Image.Image]
    """`SHEET` images of the seed."""


class Explorer:
    """A run, an export or a generator on the hub, and the pictures of its generators.

    Latents, and so images, are those of `d3gan sample --seed`. All of them are moved along the
    directions, which are those of the newest checkpoint for every checkpoint, so that a picture can
    be followed through time. Broken checkpoints are left out with a warning. Raises UserError if
    there is no generator.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = _checkpoints(path)
        self._generator = lru_cache(maxsize=KEPT)(self._load)
        newest = self._newest()
        self.classes = newest.classes
        data = newest.config.data
        self.image_shape = (data.resolution, data.channels)
        """Side in pixels, and channels, of the images."""
        self.directions: Directions = principal_directions(newest, DIRECTIONS)

    def show(self, view: View) -> Shown:
        """Return the pictures of a view. Raises UserError."""
        trained = self._generator(self.checkpoints[view.checkpoint])
        a, b = (trained.latents(1, seed)[0] for seed in (view.seed, view.other_seed))
        shares = torch.cat([torch.tensor([view.position]), torch.linspace(0, 1, WALK)])
        z = torch.cat([spherical(a, b, shares.to(a)), trained.latents(SHEET, view.seed)])
        z = moved(z, self.directions, torch.tensor(view.offsets, dtype=z.dtype))
        images = trained.images(z, self._labels(trained, view)).transpose(0, 3, 1, 2)
        image, *others = map(to_picture, images)
        return Shown(image, others[:WALK], others[WALK:])

    def _labels(self, trained: TrainedGenerator, view: View) -> Tensor | None:
        """Return the labels of all images; those of the walk have one class."""
        of_sheet = trained.labels(SHEET, view.seed, view.label)
        return None if of_sheet is None else torch.cat([of_sheet[:1].expand(1 + WALK), of_sheet])

    def _load(self, checkpoint: Checkpoint) -> TrainedGenerator:
        return load(self.path, checkpoint.name)

    def _newest(self) -> TrainedGenerator:
        """Return the newest generator that can be read; forget the checkpoints after it."""
        while True:
            try:
                return self._generator(self.checkpoints[-1])
            except BrokenCheckpoint as error:
                if len(self.checkpoints) == 1:
                    raise
                warn(str(error))
                self.checkpoints.pop()


def _checkpoints(path: Path) -> list[Checkpoint]:
    """Return the checkpoints of a run by step, or the one of an export. Raises UserError."""
    if hub_model(path) or path.suffix == ".safetensors":
        return [Checkpoint("last", None)]
    names, best = checkpoints(path)
    steps = [int(name) for name in names if name != "best"]
    found = [Checkpoint(str(step), step, step == best) for step in steps]
    if best is not None and best not in steps:
        found.append(Checkpoint("best", best, best=True))
    if not found:
        load(path)  # says that there is none
    return sorted(found, key=lambda checkpoint: checkpoint.step or 0)
