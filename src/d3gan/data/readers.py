"""Readers of parquet files of the hub, folders of image files, and arrays.

Each returns a `Source`: the files that determine its content, the number of images, and how to
iterate over them.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from d3gan.data.decode import Item
from d3gan.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa


class Source(NamedTuple):
    """Images that can be read but are not decoded yet."""

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


# Parquet files in the layout of the hub


def parquet_files(folder: Path, config: str, split: str) -> list[Path]:
    """Return the parquet files of a split, in order. Raises UserError that lists the splits.

    Hub data sets keep them as CONFIG/SPLIT-00000-of-00001.parquet, data/SPLIT-..., SPLIT-..., or,
    where the hub converted them, CONFIG/SPLIT/0000.parquet.
    """
    everything = sorted(folder.rglob("*.parquet"))
    if not everything:
        raise UserError(
            f"{folder} holds no parquet files; expected {config or 'data'}/{split}-*.parquet"
        )
    roots = [root for root in (folder / config, folder / "data", folder) if root.is_dir()]
    for root in roots:
        if found := sorted(
            [
                *root.glob(f"{split}-*.parquet"),
                *root.glob(f"{split}/*.parquet"),
                *root.glob(f"{split}.parquet"),
            ]
        ):
            return found
    found = [file for file in everything if _split_of(file) == split]
    folders = sorted({str(file.parent.relative_to(folder)) for file in found})
    if len(folders) > 1:
        raise UserError(
            f"{folder} holds several data sets with a split '{split}'; name one of them, "
            f"for example {folder / folders[0]} (there are: {', '.join(folders)})"
        )
    if not found:
        splits = sorted({_split_of(file) for file in everything})
        raise UserError(f"{folder} has no split '{split}'; splits: {', '.join(splits)}")
    return found


def _split_of(file: Path) -> str:
    return file.parent.name if file.stem.isdigit() else file.stem.partition("-")[0]


def read_parquet(
    name: str, files: list[Path], image_column: str = "", label_column: str = ""
) -> Source:
    """Return the images of parquet files.

    Without column names, the first column of images and its labels are used. Raises UserError.
    """
    import pyarrow as pa  # here, because the import is slow and `d3gan data list` needs no data
    import pyarrow.parquet as pq

    try:
        tables = [pq.ParquetFile(file) for file in files]
        schema = tables[0].schema_arrow
        count = sum(table.metadata.num_rows for table in tables)
    except (OSError, pa.ArrowException) as error:
        raise UserError(
            f"cannot read {files[0]} as parquet ({error}); download it again"
        ) from error
    image_column = image_column or _image_column(schema, files[0])
    label_column = label_column or _label_column(schema)
    columns = [column for column in (image_column, label_column) if column]
    for column in columns:
        if column not in schema.names:
            raise UserError(
                f"{files[0]} has no column '{column}'; columns: {', '.join(schema.names)}"
            )

    def items() -> Iterator[Item]:
        row = 0
        for file in files:
            try:
                for batch in pq.ParquetFile(file).iter_batches(1024, columns=columns):
                    labels = batch[label_column].to_pylist() if label_column else [-1] * len(batch)
                    for image, label in zip(batch[image_column], labels, strict=True):
                        known = -1 if label is None else label
                        yield Item(f"{file.name} row {row}", partial(_encoded, image), known)
                        row += 1
            except (OSError, pa.ArrowException) as error:
                raise UserError(
                    f"cannot read all of {file} ({error}); download it again"
                ) from error

    names = _class_names(schema, label_column)
    return Source(name, files, count, items, " ".join((image_column, label_column)), names)


def _class_names(schema: "pa.Schema", label_column: str) -> tuple[str, ...]:
    """Return the names of a ClassLabel column from the metadata that the hub's library writes."""
    try:
        metadata = json.loads((schema.metadata or {})[b"huggingface"])
        names = metadata["info"]["features"][label_column]["names"]
    except (KeyError, TypeError, ValueError):
        return ()
    return tuple(str(name) for name in names)


def _encoded(image: "pa.Scalar[Any]") -> Any:
    """Return the bytes of a row of a column of images."""
    data = image.as_py()
    return data["bytes"] if isinstance(data, dict) else data


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value


def _image_column(schema: "pa.Schema", file: Path) -> str:
    import pyarrow as pa

    for column in schema:
        struct = pa.types.is_struct(column.type) and "bytes" in [part.name for part in column.type]
        if struct or pa.types.is_binary(column.type):
            return str(column.name)
    raise UserError(f"{file} has no column of images; columns: {', '.join(schema.names)}")


def _label_column(schema: "pa.Schema") -> str:
    import pyarrow as pa

    for name in ("label", "fine_label", "labels"):
        if name in schema.names and pa.types.is_integer(schema.field(name).type):
            return name
    return ""


# Folders of image files


def read_folder(folder: Path) -> Source:
    """Return all image files below `folder`; folders directly below it, if any, are the classes."""
    Image.init()
    readable = {suffix for suffix, kind in Image.EXTENSION.items() if kind in Image.OPEN}
    files: list[Path] = []
    try:
        for parent, folders, names in os.walk(folder, onerror=_raise):
            folders[:] = [name for name in folders if not name.startswith(".")]
            files += [
                Path(parent, name)
                for name in names
                if not name.startswith(".") and Path(name).suffix.lower() in readable
            ]
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from error
    if not files:
        raise UserError(
            f"{folder} holds no images and no parquet files; images are files such as "
            "a.png or b.jpg, in the folder itself or in folders below it"
        )
    if lost := [file for file in files if not file.exists()]:
        raise UserError(f"cannot read {lost[0]}: it is a link to a missing file")
    files.sort(key=lambda file: file.relative_to(folder).as_posix())
    classes = tuple(sorted({_class_of(file, folder) for file in files} - {""}))
    labels = {name: index for index, name in enumerate(classes)}

    def items() -> Iterator[Item]:
        for file in files:
            yield Item(str(file), file.read_bytes, labels.get(_class_of(file, folder), -1))

    labelling = "\n".join(_class_of(file, folder) for file in files)
    return Source(str(folder), files, len(files), items, labelling, classes)


def _raise(error: OSError) -> None:
    raise error


def _class_of(file: Path, folder: Path) -> str:
    parts = file.relative_to(folder).parts
    return parts[0] if len(parts) > 1 else ""


# Arrays


def read_arrays(file: Path) -> Source:
    """Return the images of a .npy or .npz file: uint8 [M, H, W], [M, H, W, C] or [M, C, H, W]."""
    try:
        if file.suffix == ".npy":
            arrays = {"images": np.load(file, mmap_mode="r")}
        else:
            with file.open("rb") as stream, np.load(stream) as archive:
                arrays = dict(archive)
    except Exception as error:  # zipfile and zlib raise errors of many types for damaged files
        raise UserError(f"cannot read {file} as a NumPy file: {error}") from error
    images = next((a for a in arrays.values() if a.ndim in (3, 4) and a.dtype == np.uint8), None)
    if images is None or not images.size:
        found = ", ".join(f"{key} {a.dtype} {list(a.shape)}" for key, a in arrays.items())
        raise UserError(
            f"{file} holds no uint8 images [M, H, W] or [M, H, W, C]; "
            f"it holds: {found or 'nothing'}"
        )
    if images.ndim == 4 and images.shape[-1] not in (1, 3):
        if images.shape[1] not in (1, 3):
            raise UserError(f"{file}: images {list(images.shape)} have neither 1 nor 3 channels")
        images = images.transpose(0, 2, 3, 1)
    labels = next(
        (a for a in arrays.values() if a.shape == (len(images),) and a.dtype.kind in "iu"),
        np.full(len(images), -1),
    )
    return array_source(str(file), [file], images, labels)


def array_source(
    name: str, files: list[Path], images: Any, labels: np.ndarray, names: tuple[str, ...] = ()
) -> Source:
    """Return images in memory as a source: uint8 [H, W] or [H, W, C] each, with labels [M]."""
    return Source(
        name, files, len(images), lambda: pixel_items(images, labels, name), class_names=names
    )


def pixel_items(images: Any, labels: np.ndarray, name: str) -> Iterator[Item]:
    """Yield the items of images [M, H, W] or [M, H, W, C], or of a list of such images."""
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        yield Item(f"{name}[{i}]", _constant(image), int(label))
