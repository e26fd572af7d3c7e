"""Read back what loggers have written on this machine, with the readers of their formats."""

import json
import sqlite3
import struct
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

Record = dict[str, list[tuple[int, float]]]
"""The steps and values of each number; of "samples" the steps and the widths of the pictures."""


def read_tensorboard(run: Path) -> Record:
    """Read the event files of a run folder."""
    board = EventAccumulator(str(run), size_guidance={"images": 0, "scalars": 0}).Reload()
    record = {
        tag: [(event.step, event.value) for event in board.Scalars(tag)]
        for tag in board.Tags()["scalars"]
    }
    return record | {
        tag: [(event.step, float(event.width)) for event in board.Images(tag)]
        for tag in board.Tags()["images"]
    }


def read_wandb(run: Path) -> Record:
    """Read the files of all offline sessions in a run folder."""
    from wandb.proto.wandb_internal_pb2 import Record as Message

    record: Record = defaultdict(list)
    ids = set()
    for file in sorted(run.glob("wandb/offline-run-*/run-*.wandb")):
        for payload in _payloads(file.read_bytes()):
            message = Message.FromString(payload)
            if message.HasField("run"):
                ids.add(message.run.run_id)
            if message.HasField("history"):
                _add(
                    record,
                    {_key(item): json.loads(item.value_json) for item in message.history.item},
                )
    assert len(ids) == 1, "a resumed run continues the same record"
    return dict(record)


def _key(item: Any) -> str:
    """Return the name of a number; the width of a picture stands for the picture."""
    name: str = item.key or "/".join(item.nested_key)
    return "samples" if name == "samples/width" else name


def _add(record: Record, values: dict[str, Any]) -> None:
    for name, value in values.items():
        if name != "step" and not name.startswith(("_", "samples/")):
            record[name].append((values["step"], value))


def _payloads(data: bytes) -> Iterator[bytes]:
    """Yield the records of a LevelDB log: blocks of 32 KiB, and records in one or several parts."""
    position, parts = 7, b""
    while position + 7 <= len(data):
        left = -position % 32768
        if 0 < left < 7:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # complete, or its last part
            yield parts
            parts = b""


def read_trackio(run: Path) -> Record:
    """Read the rows of a run from Trackio's database."""
    from trackio.utils import MEDIA_DIR, TRACKIO_DIR

    run_id = json.loads((run / "loggers.json").read_text())["id"]
    record: Record = defaultdict(list)
    for file in Path(TRACKIO_DIR).glob("*.db"):
        with sqlite3.connect(file) as database:
            rows = database.execute("SELECT run_name, step, metrics FROM metrics ORDER BY id")
            for name, step, metrics in rows.fetchall():
                if name.endswith(run_id):
                    for key, value in json.loads(metrics).items():
                        if isinstance(value, dict):
                            with Image.open(MEDIA_DIR / value["file_path"]) as picture:
                                value = float(picture.width)
                        record[key].append((step, value))
        database.close()
    return dict(record)


READERS: dict[str, Callable[[Path], Record]] = {
    "tensorboard": read_tensorboard,
    "wandb": read_wandb,
    "trackio": read_trackio,
}
