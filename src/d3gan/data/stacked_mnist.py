"""Stacked MNIST: three digits in the colour channels, 1,000 modes.

Metz et al. 2017, "Unrolled generative adversarial networks", section 3.3.1.
"""

from collections.abc import Iterator
from functools import cache, partial

import numpy as np

from d3gan.data.decode import open_image
from d3gan.data.hub_sources import HUB_SOURCES, HubSource
from d3gan.data.source import Item, Source
from d3gan.images import Images

CLASSES = 1000


class StackedMnist:
    """The data source ``stacked-mnist``; label 100 r + 10 g + b.

    Each channel holds every digit of MNIST once, in its own random order.
    """

    name = "stacked-mnist"
    images = "60,000 (28 x 28)"
    splits = ("train", "test")
    channels = 3

    def find(self, split: str) -> Source:
        """Return the stacked digits of a split. Raises UserError as mnist does."""
        mnist = _mnist().find(split)

        def items() -> Iterator[Item]:
            from d3gan.rng import Stream, permutation  # imports torch

            singles = list(mnist.items())

            @cache  # each digit is in three images
            def digit(number: int) -> Images:
                return np.asarray(open_image(singles[number].read()))

            def stacked(numbers: tuple[int, ...]) -> Images:
                return np.stack([digit(number) for number in numbers], axis=-1)

            orders = [permutation(0, Stream.STACK, k, len(singles)).tolist() for k in range(3)]
            for i, numbers in enumerate(zip(*orders, strict=True)):
                hundreds, tens, ones = (singles[number].label for number in numbers)
                label = 100 * hundreds + 10 * tens + ones
                yield Item(f"{self.name}[{i}]", partial(stacked, numbers), label)

        names = tuple(f"{number:03d}" for number in range(CLASSES))
        return mnist._replace(
            name=self.name,
            items=items,
            labelling="stacked",
            class_names=names,
            channels=self.channels,
        )

    def location(self) -> str:
        """Return where the images come from."""
        return "made from mnist"


def _mnist() -> HubSource:
    return next(source for source in HUB_SOURCES if source.name == "mnist")
