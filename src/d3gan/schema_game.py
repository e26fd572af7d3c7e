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
    """Architecture of each discriminator, if they differ; without it all have
    model.architecture."""
    views: Annotated[
        tuple[str, ...],
        VIEWS,
        RESULT,
        Doc(
            f"What the discriminators see of images, one value for all or one for each: "
            f"{VIEWS.describe()}; without it full."
        ),
    ] = ()
    objective: Annotated[
        str,
        OBJECTIVES,
        RESULT,
        Doc(f"Losses of the generator and of the discriminators: {OBJECTIVES.describe()}."),
    ] = "non_saturating"
    aggregation: Annotated[
        str,
        AGGREGATIONS,
        RESULT,
        Doc(
            "Rule by which the discriminators are weighted in the generator's loss: "
            f"{AGGREGATIONS.describe()}."
        ),
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
    """Probability with which each augmentation is applied to an image."""
    augmentation_schedule: Annotated[
        str, SCHEDULES, Scales(("gan.augmentation_probability",)), RESULT
    ] = "constant"
    """Schedule of gan.augmentation_probability: its factor over the run, as in optim.schedule."""
    penalty_schedule: Annotated[str, SCHEDULES, Scales(("gan.penalties",)), RESULT] = "constant"
    """Schedule of the penalties' weights: their factor over the run, as in optim.schedule."""
    discriminator_steps: Annotated[int, Range(1, 64), RESULT] = 1
    """Updates of the discriminators for each update of the generator; each has its own batch."""
    fresh_batch: Annotated[bool, RESULT] = False
    """Update the generator on a batch of its own instead of the discriminators' last one. It does
    not count as images seen."""

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
    """Adam's decay rate of the mean of the gradients."""
    beta2: Annotated[Momentum, RESULT] = 0.999
    """Adam's decay rate of the mean of the squared gradients."""
    schedule: Annotated[
        str,
        SCHEDULES,
        Scales(("optim.lr_g", "optim.lr_d")),
        RESULT,
        Doc(
            "Schedule of the learning rates: their factor as a function of the real images seen, "
            f"one of {SCHEDULES.describe()}. images: length of the transition; 0: until the end of "
            "the run."
        ),
    ] = "constant"
    beta2_schedule: Annotated[str, SCHEDULES, Scales(("optim.beta2",)), RESULT] = "constant"
    """Schedule of beta2: its factor over the run, as in optim.schedule."""
    ema_half_life_images: Annotated[HalfLife, RESULT] = 0.0
    """Half-life of the exponential moving average (EMA) of the generator's weights, in real images
    seen; samples and metrics come from the average. 0: no EMA."""
    ema_half_life_steps: Annotated[HalfLife, RESULT] = 0.0
    """Half-life of the EMA in steps of the generator, in place of optim.ema_half_life_images."""
    ema_schedule: Annotated[
        str,
        SCHEDULES,
        Scales(("optim.ema_half_life_images", "optim.ema_half_life_steps")),
        RESULT,
    ] = "constant"
    """Schedule of the EMA's half-life: its factor over the run, as in optim.schedule."""
    ema_ramp_up: Annotated[float, Range(0, 1), RESULT] = 0.05
    """Limit of the EMA's half-life as a share of the images seen so far, so that the random initial
    weights are soon forgotten. 0: no limit. A warm start has no limit either."""
