"""The schema of the game between the networks, and of their optimisation."""

from dataclasses import dataclass
from typing import Annotated

from typing_extensions import Doc

from d3gan.fields import Range, Role, Scales
from d3gan.gan.aggregation import AGGREGATIONS
from d3gan.gan.augment import AUGMENTATIONS
from d3gan.gan.objectives import OBJECTIVES
from d3gan.gan.penalties import PENALTIES
from d3gan.gan.schedules import SCHEDULES, Constant
from d3gan.networks import ARCHITECTURES
from d3gan.networks.views import VIEWS

RESULT = Role.RESULT

Rate = Annotated[float, Range(0, 10, above=True)]
Momentum = Annotated[float, Range(0, 0.999999)]
HalfLife = Annotated[float, Range(0, 1e12)]


@dataclass(frozen=True)
class GanConfig:
    """The game between the generator and its discriminators."""

    discriminators: Annotated[int, Range(1, 64), RESULT] = 1
    """Number of discriminators. 1: DCGAN; 2: D3GAN."""
    members: Annotated[tuple[str, ...], ARCHITECTURES, RESULT] = ()
    """Architecture of each discriminator, if they differ; empty: model.architecture for all."""
    views: Annotated[
        tuple[str, ...],
        VIEWS,
        RESULT,
        Doc(
            f"What the discriminators see of images, one for all or one for each: "
            f"{VIEWS.describe()}; empty: full."
        ),
    ] = ()
    objective: Annotated[
        str, OBJECTIVES, RESULT, Doc(f"Losses to minimise: {OBJECTIVES.describe()}.")
    ] = "non_saturating"
    aggregation: Annotated[
        str,
        AGGREGATIONS,
        RESULT,
        Doc(f"How the generator weighs its discriminators: {AGGREGATIONS.describe()}."),
    ] = "original"
    penalties: Annotated[
        tuple[str, ...],
        PENALTIES,
        RESULT,
        Doc(f"Gradient penalties of every discriminator: {PENALTIES.describe()}."),
    ] = ()
    augmentations: Annotated[
        tuple[str, ...],
        AUGMENTATIONS,
        RESULT,
        Doc(f"Augmentations of real and generated images: {AUGMENTATIONS.describe()}."),
    ] = ()
    augmentation_probability: Annotated[float, Range(0, 1), RESULT] = 1.0
    """Probability of each augmentation for each image; an image that it misses stays as it is."""
    augmentation_schedule: Annotated[
        str, SCHEDULES, Scales(("gan.augmentation_probability",)), RESULT
    ] = "constant"
    """Factor of the augmentations' probability over the run, as optim.schedule."""
    penalty_schedule: Annotated[str, SCHEDULES, Scales(("gan.penalties",)), RESULT] = "constant"
    """Factor of the penalties' weights over the run, as optim.schedule."""
    discriminator_steps: Annotated[int, Range(1, 64), RESULT] = 1
    """Updates of the discriminators, each on its own batch, per update of the generator."""
    fresh_batch: Annotated[bool, RESULT] = False
    """Update the generator on a batch of its own, which does not count as images seen, instead of
    the last one of the discriminators."""

    @property
    def skips_augmentations(self) -> bool:
        """Whether an augmentation may miss an image, so that each needs one more random number."""
        varies = SCHEDULES.build(self.augmentation_schedule) != Constant()
        return self.augmentation_probability < 1 or varies


@dataclass(frozen=True)
class OptimConfig:
    """Adam for all networks, and a moving average of the generator's weights."""

    lr_g: Annotated[Rate, RESULT] = 2e-4
    """Learning rate of the generator."""
    lr_d: Annotated[Rate, RESULT] = 2e-4
    """Learning rate of the discriminators."""
    beta1: Annotated[Momentum, RESULT] = 0.5
    beta2: Annotated[Momentum, RESULT] = 0.999
    schedule: Annotated[
        str,
        SCHEDULES,
        Scales(("optim.lr_g", "optim.lr_d")),
        RESULT,
        Doc(
            "Factor of the learning rates as a function of the real images seen: "
            f"{SCHEDULES.describe()}. images: length of the transition, 0: to the end of the run."
        ),
    ] = "constant"
    beta2_schedule: Annotated[str, SCHEDULES, Scales(("optim.beta2",)), RESULT] = "constant"
    """Factor of beta2 over the run, as optim.schedule."""
    ema_half_life_images: Annotated[HalfLife, RESULT] = 0.0
    """Half-life, in images that the discriminators see, of the exponential moving average (EMA) of
    the generator's weights, from which images are sampled; 0: no EMA."""
    ema_half_life_steps: Annotated[HalfLife, RESULT] = 0.0
    """The same in steps of the generator: it does not depend on gan.discriminator_steps."""
    ema_schedule: Annotated[
        str,
        SCHEDULES,
        Scales(("optim.ema_half_life_images", "optim.ema_half_life_steps")),
        RESULT,
    ] = "constant"
    """Factor of the half-life over the run, as optim.schedule."""
    ema_ramp_up: Annotated[float, Range(0, 1), RESULT] = 0.05
    """Largest half-life as a share of the images seen, so that the initial weights are soon
    forgotten; 0: no limit."""
