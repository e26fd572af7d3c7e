"""The model card of a generator on the Hugging Face hub."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from d3gan.config import Config
from d3gan.evaluation.metrics.names import metric_names
from d3gan.registry import parse_call
from d3gan.report import wording

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCard

TASK = "unconditional-image-generation"
"""Name of the hub's task that a GAN without a text prompt belongs to."""


@dataclass(frozen=True)
class Published:
    """What a model card says of a generator."""

    repository: str
    config: Config
    step: int
    classes: int
    """Number of classes of a conditional generator; 0 for an unconditional one."""
    data_set: str | None
    """The real images' data set on the hub, owner/name; None if they come from elsewhere."""
    evaluation: Mapping[str, Any] | None
    """Row of metrics.jsonl that measured this generator; None if none did."""
    license: str
    """Identifier of the license, such as mit; empty if the author chose none."""


class Result(NamedTuple):
    """A metric of the generator."""

    name: str
    """Name in metrics.jsonl."""
    title: str
    value: float
    error: float
    better: str


def model_card(published: Published) -> "ModelCard":
    """Return the card, whose metadata are those that the hub knows."""
    from huggingface_hub import ModelCard, ModelCardData

    config, row = published.config, published.evaluation
    architecture, _ = parse_call(config.model.architecture)
    data = ModelCardData(
        library_name="d3gan",
        pipeline_tag=TASK,
        tags=["gan", architecture, f"discriminators-{config.gan.discriminators}"],
        datasets=[published.data_set] if published.data_set else None,
        license=published.license or None,
        model_name=config.name,
        eval_results=_eval_results(published) or None,
    )
    folder = resources.files("d3gan.report") / "templates"
    card: ModelCard = ModelCard.from_template(
        data,
        template_str=(folder / "model_card.md.j2").read_text(encoding="utf-8"),
        published=published,
        config=config,
        is_plain=_is_plain(config, published.classes),
        results=results(row),
        conditions=conditions(row["protocol"]) if row else "",
        images=published.step * config.images_per_step,
        plus_minus=wording.plus_minus,
        plural=wording.plural,
    )
    return card


def _is_plain(config: Config, classes: int) -> bool:
    """Return whether the generator is a sequence of layers of torch, which the card rebuilds."""
    model = config.model
    return (model.architecture, model.generator_norm, classes) == ("dcgan", "batch", 0)


def results(row: Mapping[str, Any] | None) -> list[Result]:
    """Return the metrics of an evaluation, in the order of the list of metrics."""
    if row is None:
        return []
    return [
        Result(
            name, wording.METRIC_TITLES.get(name, name), row[name], row[f"{name}_stderr"], better
        )
        for name, better in metric_names(row["protocol"]["features"]).items()
        if name in row
    ]


def conditions(protocol: Mapping[str, Any]) -> str:
    """Return in a few words by which protocol metrics were measured."""
    features = protocol["features"]
    side, network = (
        protocol["resolution"],
        "2015 Inception" if features == "inception" else features,
    )
    return (
        f"{network} features, {protocol['generated_images']:,} generated and "
        f"{protocol['real_images']:,} real images of {protocol['real_source']} "
        f"{protocol['real_split']}, {side} x {side}"
    )


def _eval_results(published: Published) -> "list[EvalResult]":
    """Return the metrics as the hub's metadata describe them, each with its protocol."""
    from huggingface_hub import EvalResult

    row = published.evaluation
    if row is None:
        return []
    protocol = row["protocol"]
    source = protocol["real_source"]
    return [
        EvalResult(
            task_type=TASK,
            task_name="Unconditional Image Generation",
            # The hub allows no other characters.
            dataset_type=published.data_set or re.sub(r"[^\w.-]+", "-", source),
            dataset_name=source,
            dataset_split=protocol["real_split"],
            dataset_revision=protocol["real_revision"],
            metric_type=result.name,
            dataset_args={"protocol": dict(protocol)},
            metric_name=f"{result.title} ({conditions(protocol)})",
            metric_value=result.value,
            metric_args={"standard_error": result.error},
        )
        for result in results(row)
    ]
