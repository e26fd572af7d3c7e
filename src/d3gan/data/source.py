"""Images that can be read but are not decoded yet."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from d3gan.images import Images


class Item(NamedTuple):
    """One image of a source, still encoded."""

    name: str
    """Name of the image in error messages."""
    read: Callable[[], bytes | Images]
    """Returns the encoded file, or pixels [H, W] or [H, W, C]; any thread may call it."""
    label: int
    """Class, or -1 if it has none."""


class Source(NamedTuple):
    """A set of images, and what is known of them before one is read."""

    name: str
    files: list[Path]
    """Files that determine the content."""
    number: int
    """Number of images."""
    items: Callable[[], Iterable[Item]]
    """Returns all images in order; an image that is not needed is not read, or not decoded."""
    labelling: str = ""
    """What determines the labels (and their images) beside the content of the files."""
    class_names: tuple[str, ...] = ()
    """Name of each class in the order of labels, or empty where names are unknown."""
    channels: int | None = None
    """Number of channels that the images need, or None if any will do."""
    digest: str = ""
    """SHA-256 of the content if it does not come from files."""
    revision: str = ""
    """Commit of the hub's data set; empty if the files are local."""
    unlabelled: str = ""
    """Why no image has a label, and how to give them labels; empty if images may have labels."""
    notes: tuple[str, ...] = ()
    """What a user should know of the images, such as files that are left out."""
