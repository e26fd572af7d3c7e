"""Checks that the networks of a configuration are made for the images that they see."""

from collections.abc import Sequence

from d3gan.errors import UserError
from d3gan.networks.architecture import Architecture, ImageShape
from d3gan.networks.views import View
from d3gan.schema import Config


def check_networks(
    config: Config,
    model: Sequence[Architecture],
    members: Sequence[Architecture],
    views: Sequence[View],
) -> None:
    """Raise UserError if a network is not made for the images that it makes or sees.

    `model`, `members` and `views` are what the keys `model.architecture`, `gan.members` and
    `gan.views` name.
    """
    gan, images = config.gan, ImageShape(config.data.resolution, config.data.channels)
    whole = f"data.resolution = {images.resolution}"
    _check_side(model[0], config.model.architecture, images, whole)
    if not views:
        for architecture, name in zip(members, gan.members, strict=True):
            _check_side(architecture, name, images, f"{whole}: gan.members")
        return
    given = f"gan.views = {list(gan.views)}"
    if len(views) not in (1, gan.discriminators):
        raise UserError(
            f"{given}: must be one view for all discriminators or one for each of the "
            f"{gan.discriminators}"
        )
    architectures = members or model
    names = gan.members or (config.model.architecture,)
    for k in range(gan.discriminators):
        view, network = views[k % len(views)], k % len(architectures)
        try:
            seen = view.shape(images)
        except ValueError as error:
            raise UserError(f"{given}: {error}") from error
        side = f"{seen.resolution} x {seen.resolution} pixels"
        _check_side(
            architectures[network], names[network], seen, f"{given}: discriminator {k} sees {side}"
        )


def _check_side(architecture: Architecture, name: str, images: ImageShape, where: str) -> None:
    if images.resolution not in architecture.resolutions:
        *sides, last = map(str, architecture.resolutions)
        allowed = f"{', '.join(sides)} or {last}" if sides else last
        raise UserError(f"{where}: the {name} architecture supports {allowed}")
