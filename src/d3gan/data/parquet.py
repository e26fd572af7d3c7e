"""Parquet files in the layouts of the Hugging Face hub."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from d3gan.data.labels import checked_labels
from d3gan.data.source import Item, Source
from d3gan.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa


def parquet_files(folder: Path, config: str, split: str) -> list[Path]:
    """Return the parquet files of a split, in order. Raises UserError that lists the splits.

    Hub data sets keep them as CONFIG/SPLIT-00000-of-00001.parquet, data/SPLIT-..., SPLIT-..., or,
    where the hub converted them, CONFIG/SPLIT/0000.parquet.
    """
    everything = sorted(file for file in folder.rglob("*.parquet") if file.is_file())
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
    if not count:
        raise UserError(f"{files[0]} holds no images: it has no rows")
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
                    labels = np.full(len(batch), -1)
                    if label_column:
                        known = batch[label_column].to_pylist()
                        labels = checked_labels([-1 if x is None else x for x in known], name)
                    for image, label in zip(batch[image_column], labels.tolist(), strict=True):
                        yield Item(f"{file.name} row {row}", partial(_encoded, image), label)
                        row += 1
            except (OSError, pa.ArrowException) as error:
                raise UserError(
                    f"cannot read all of {file} ({error}); download it again"
                ) from error

    names = _class_names(schema, label_column)
    unlabelled = (
        ""
        if label_column
        else (
            f"{name} has no labels: no column label, fine_label or labels of whole numbers; "
            "choose another data set"
        )
    )
    labelling = " ".join((image_column, label_column))
    return Source(name, files, count, items, labelling, names, unlabelled=unlabelled)


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
