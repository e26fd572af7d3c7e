"""Builds what a configuration names: rules of the game, and networks, freshly initialised."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import nn

from d3gan.config import Config, GanConfig
from d3gan.errors import UserError
from d3gan.gan.aggregation import AGGREGATIONS, Aggregation
from d3gan.gan.augment import AUGMENTATIONS, Augmentation
from d3gan.gan.objectives import OBJECTIVES, Objective
from d3gan.gan.penalties import PENALTIES, Penalty
from d3gan.networks.architecture import Architecture, ImageShape, build_architecture
from d3gan.networks.ensemble import Ensemble
from d3gan.networks.viewed import Viewed
from d3gan.networks.views import VIEWS
from d3gan.rng import Stream


class Rules(NamedTuple):
    """The rules of the game between the generator and its discriminators."""

    objective: Objective
    aggregation: Aggregation
    penalties: Sequence[Penalty]
    augmentations: Sequence[Augmentation]


def build_rules(gan: GanConfig) -> Rules:
    """Return the rules that the configuration names."""
    return Rules(
        OBJECTIVES.build(gan.objective),
        AGGREGATIONS.build(gan.aggregation),
        [PENALTIES.build(text) for text in gan.penalties],
        [AUGMENTATIONS.build(text) for text in gan.augmentations],
    )


def model_classes(config: Config, classes: int) -> int:
    """Return the classes of the networks, 0 if they are unconditional, from those of the data."""
    return classes if config.model.conditional else 0


def image_shape(config: Config, classes: int) -> ImageShape:
    """Return the shape of the images; `classes` are those of the networks."""
    return ImageShape(config.data.resolution, config.data.channels, classes)


def build_generator(config: Config, classes: int = 0, *, initialise: bool = True) -> nn.Module:
    """Return the generator in float32 on the CPU, a function of the configuration alone.

    Without `initialise` its weights are arbitrary. Raises UserError if it cannot have this width.
    """
    model, images = config.model, image_shape(config, classes)
    defaults: dict[str, Any] = {"width": model.generator_width, "norm": model.generator_norm}
    architecture = build_architecture(model.architecture, defaults)
    with _naming("generator", architecture, defaults):
        generator = architecture.generator(images, model.latent_dim)
    if initialise:
        architecture.initialise(generator, config.seed, Stream.GENERATOR_WEIGHTS, 0)
    return generator


def build_discriminators(
    config: Config,
    classes: int = 0,
    members: Sequence[int] | None = None,
    *,
    initialise: bool = True,
) -> Ensemble:
    """Return the discriminators `members` (all of them unless given), in float32 on the CPU.

    Discriminator k is the same network whatever the number of discriminators is. Without
    `initialise` its weights are arbitrary.
    """
    model, gan, images = config.model, config.gan, image_shape(config, classes)
    views = [VIEWS.build(text) for text in gan.views]
    defaults: dict[str, Any] = {
        "width": model.discriminator_width,
        "norm": model.discriminator_norm,
    }
    networks = []
    for k in range(gan.discriminators) if members is None else members:
        text = gan.members[k] if gan.members else model.architecture
        architecture = build_architecture(text, defaults)
        view = views[k % len(views)] if views else None
        with _naming("discriminator", architecture, defaults):
            network = architecture.discriminator(view.shape(images) if view else images)
        if initialise:
            architecture.initialise(network, config.seed, Stream.DISCRIMINATOR_WEIGHTS, k)
        networks.append(Viewed(network, view, images, config.seed, k) if view else network)
    return Ensemble(networks)


@contextmanager
def _naming(
    network: str, architecture: Architecture, defaults: Mapping[str, object]
) -> Iterator[None]:
    """Name the width and the norm of a network in the UserError of the block that builds it."""
    try:
        yield
    except UserError as error:
        values = {name: getattr(architecture, name, value) for name, value in defaults.items()}
        keys = ", ".join(f"model.{network}_{name} = {value!r}" for name, value in values.items())
        raise UserError(f"{keys}: {error}") from error
