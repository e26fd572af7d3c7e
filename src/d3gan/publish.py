"""Publish a generator on the Hugging Face hub: weights, configuration, samples, metrics, card."""

import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from d3gan.config import Config, to_toml
from d3gan.data.in_memory import IN_MEMORY
from d3gan.data.sources import SOURCES, hub_data_set
from d3gan.hub import EXPORT, Commit, check_login, upload
from d3gan.registry import is_plugin, parse_call
from d3gan.report.model_card import Published, model_card
from d3gan.runs import RunFolder
from d3gan.training.export import safetensors_bytes
from d3gan.training.generator import TrainedGenerator
from d3gan.training.inference import load


@dataclasses.dataclass(frozen=True)
class Pushed:
    """What was written to the hub."""

    repository: str
    revision: str
    """The commit."""
    url: str
    step: int
    files: list[str]


def push(
    run: Path,
    repository: str,
    *,
    checkpoint: str = "last",
    private: bool = False,
    license: str = "",
) -> Pushed:
    """Write a run's generator to a model repository of the hub, in one commit.

    The repository is created if there is none; it has the files of `published_files`. Raises
    UserError.
    """
    check_login(repository)
    trained = load(run, checkpoint)
    files = published_files(trained, RunFolder(run).metrics(), repository, license)
    message = f"Step {trained.step} of {trained.config.name}"
    done: Commit = upload(repository, files, message, private=private)
    return Pushed(repository, done.revision, done.url, trained.step, list(files))


def published_files(
    trained: TrainedGenerator, rows: Sequence[Mapping[str, Any]], repository: str, license: str
) -> dict[str, bytes]:
    """Return the files of a repository by name; `rows` are those of the run's metrics.jsonl.

    Paths of this machine are not among their content.
    """
    config = without_paths(trained.config)
    evaluations = [_without_paths_of_protocol(row) for row in rows if "protocol" in row]
    of_step = [row for row in evaluations if row["step"] == trained.step]
    # A report, if there is one, comes last.
    card = model_card(
        Published(
            repository=repository,
            config=config,
            step=trained.step,
            classes=trained.classes,
            data_set=hub_data_set(trained.config.data.source),
            evaluation=of_step[-1] if of_step else None,
            license=license,
        )
    )
    picture = io.BytesIO()
    trained.grid(64, seed=0).save(picture, format="PNG")
    step, classes = trained.step, trained.classes
    return {
        EXPORT: safetensors_bytes(trained.generator, config, step, classes),
        "config.toml": to_toml(config).encode(),
        "samples.png": picture.getvalue(),
        "metrics.json": (json.dumps(evaluations, indent=2, allow_nan=False) + "\n").encode(),
        "README.md": str(card).encode(),
    }


def without_paths(config: Config) -> Config:
    """Return the config without paths of this machine: of a local source its name remains."""
    features = _features(config.eval.features)
    return dataclasses.replace(
        config,
        out_dir=Config().out_dir,
        data=dataclasses.replace(config.data, source=_name_of(config.data.source)),
        eval=dataclasses.replace(config.eval, features=features, weights=""),
    )


def _without_paths_of_protocol(row: Mapping[str, Any]) -> dict[str, Any]:
    protocol = row["protocol"]
    published = {
        "features": _features(protocol["features"]),
        "real_source": _name_of(protocol["real_source"]),
        "training_command": None,
    }
    return {**row, "protocol": {**protocol, **published}}


def _features(features: str) -> str:
    """Return the name of features; of those of a classifier of a local source, without its path."""
    kind, colon, source = features.partition(":")
    return f"classifier:{_name_of(source)}" if kind == "classifier" and colon else features


def _name_of(source: str) -> str:
    """Return the name of a source: of a path its last part, of a plugin its class."""
    if source in SOURCES or source.startswith(IN_MEMORY) or hub_data_set(source):
        return source
    if is_plugin(source) and not Path(source).exists():
        return parse_call(source)[0].rpartition(":")[2]
    return Path(source).expanduser().resolve().name
