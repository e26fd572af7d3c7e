"""Labels of images, and the classes that they stand for."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from d3gan.errors import UserError

MOST_CLASSES = 100_000
"""Number of classes at most: those of classifiers and of conditional models."""

NAMED_AT_MOST = 10
"""Number of classes that a message lists."""

Labels = npt.NDArray[np.int64]
"""[M], -1 where unknown."""


def checked_labels(labels: npt.NDArray[np.integer] | list[int], name: str) -> Labels:
    """Return the labels [M] of the source `name` as int64. Raises UserError if one is too large."""
    try:
        if isinstance(labels, np.ndarray) and labels.dtype == np.uint64:
            labels = labels.tolist()  # NumPy would convert large ones to negative ones
        return np.array(labels, np.int64)
    except OverflowError as error:
        raise UserError(
            f"{name} has labels of 2^63 and more; number the classes from 0 to at most "
            f"{MOST_CLASSES - 1:,}, and write -1 for images without a label"
        ) from error


def list_classes(names: Sequence[str]) -> str:
    """Return the first classes with their numbers, such as ``classes: 0 boats, 1 cats``.

    Return "" if the names are unknown, or are the numbers themselves, as those of digits are.
    """
    if all(name.isdecimal() and int(name) == label for label, name in enumerate(names)):
        return ""
    shown = [f"{label} {name}" for label, name in enumerate(names[:NAMED_AT_MOST])]
    more = len(names) - len(shown)
    return f"classes: {', '.join(shown)}{f' and {more:,} more' if more else ''}"


def count_classes(labels: Labels, names: tuple[str, ...]) -> int:
    """Return the number of classes of a source, or 0 if its labels are not all within 0..K-1.

    `names` are those of the classes, or empty where they are unknown.
    """
    if not len(labels) or labels.min() < 0:
        return 0
    if names:
        return len(names) if labels.max() < len(names) else 0
    found = np.unique(labels)
    return len(found) if found[-1] == len(found) - 1 else 0


def require_classes(labels: Labels, classes: int, name: str, reason: str) -> None:
    """Raise UserError, starting with `reason`, unless all images of `name` have usable labels.

    `reason` is for example ``"model.conditional = true"``; `classes` is what `count_classes` found.
    """
    labelled = labels[labels >= 0]
    if classes > MOST_CLASSES:
        what = f"has {classes:,} classes; at most {MOST_CLASSES:,} are allowed"
    elif classes:
        return
    elif len(labelled) == len(labels):
        found = np.unique(labelled)
        what = (
            f"has {len(found)} different labels from {found[0]} to {found[-1]}; number the classes "
            f"from 0 to {len(found) - 1}"
        )
    else:
        some = f"labels for only {len(labelled)} of {len(labels)} images"
        what = (
            f"has {some if len(labelled) else 'no labels'}; put the images into one folder per "
            "class, or choose a labelled source"
        )
    raise UserError(f"{reason}: {name} {what}")


def check_number_of_classes(labels: Labels, name: str) -> None:
    """Raise UserError if the labels, which are the numbers of classes, are too large."""
    if labels.max() >= MOST_CLASSES:
        raise UserError(
            f"{name} has labels up to {labels.max()}; number the classes from 0 to at most "
            f"{MOST_CLASSES - 1:,}"
        )
