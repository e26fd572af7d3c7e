"""A generator as one file: safetensors (weights and configuration) or ONNX (the network).

The same generator gives the same bytes.
"""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from d3gan.config import Config, to_toml
from d3gan.config_files import from_toml
from d3gan.errors import UserError
from d3gan.extras import require_onnx

ALIGNMENT = 8
"""The header of a safetensors file is padded to a multiple of this many bytes."""


class Exported(NamedTuple):
    """The content of a .safetensors export."""

    config: Config
    weights: dict[str, Tensor]
    step: int
    classes: int
    """Number of classes of a conditional generator; 0 for an unconditional one."""


def safetensors_bytes(generator: nn.Module, config: Config, step: int, classes: int) -> bytes:
    """Return a .safetensors file of the weights, with the other arguments as its metadata."""
    metadata = {"d3gan": to_toml(config), "step": str(step), "classes": str(classes)}
    return _in_order(save(generator.state_dict(), metadata))


def _in_order(file: bytes) -> bytes:
    """Return a .safetensors file with its header sorted; safetensors writes metadata in an order
    that differs between processes."""
    start = ALIGNMENT + int.from_bytes(file[:ALIGNMENT], "little")
    header = json.dumps(json.loads(file[ALIGNMENT:start]), sort_keys=True, separators=(",", ":"))
    text = header.encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return len(text).to_bytes(ALIGNMENT, "little") + text + file[start:]


def read_export(path: Path) -> Exported:
    """Return the content of a .safetensors file that `safetensors_bytes` gave. Raises UserError."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    if "d3gan" not in metadata or not metadata.get("step", "").isdigit():
        raise UserError(f"{path} was not written by d3gan export")
    config = from_toml(metadata["d3gan"], path.stem, str(path))
    return Exported(config, weights, int(metadata["step"]), int(metadata.get("classes", "0")))


def onnx_bytes(generator: nn.Module, latent_dim: int, classes: int) -> bytes:
    """Return an .onnx file of the generator. Raises UserError if onnxscript is missing.

    The network maps z [B, latent_dim], and labels int64 [B] if there are classes, to images
    [B, C, H, W] in [-1, 1].
    """
    require_onnx()
    inputs = {"z": torch.zeros(2, latent_dim)}
    if classes:
        inputs["labels"] = torch.zeros(2, dtype=torch.int64)
    with _silent():
        program = torch.onnx.export(
            generator,
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=["images"],
            dynamic_shapes=tuple({0: torch.export.Dim.DYNAMIC} for _ in inputs),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    model.producer_name = "d3gan"
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.functions):
        del part.metadata_props[:]  # traces of this machine's files
    content: bytes = model.SerializeToString(deterministic=True)
    return content


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Hide what torch prints, logs and warns of within the block: it concerns torch's own code."""
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    hidden = io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(hidden),
        contextlib.redirect_stderr(hidden),
    ):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
