"""The values that change from step to step, from the schedules of the configuration."""

from collections.abc import Callable
from typing import NamedTuple

from d3gan.config import Config
from d3gan.gan.ema import ema_decay
from d3gan.gan.schedules import SCHEDULES


class StepValues(NamedTuple):
    """What one step uses."""

    lr_g: float
    lr_d: float
    beta2: float
    ema_decay: float
    """Weight that the moving average of the generator keeps in this step."""
    penalty_factor: float
    """Factor of the weights of all penalties."""
    augmentation_probability: float | None
    """Probability of each augmentation for each image; None: 1 in all steps."""


def make_schedule(config: Config, images: int) -> Callable[[int], StepValues]:
    """Return the function from the number of steps done to the values of the next step.

    `images` is the size of the data set. Schedules see the real images that the discriminators have
    seen before the step; the ramp-up of the moving average counts those of the step, too.
    """
    optim, gan, each = config.optim, config.gan, config.images_per_step
    total = config.total_steps(images) * each
    # A warm start has no random weights to forget.
    ramp_up = 0.0 if config.model.init_from else optim.ema_ramp_up
    lr, beta2, half_life, penalty, augmentation = (
        SCHEDULES.build(text)
        for text in (
            optim.schedule,
            optim.beta2_schedule,
            optim.ema_schedule,
            gan.penalty_schedule,
            gan.augmentation_schedule,
        )
    )

    def values(step: int) -> StepValues:
        seen = step * each
        rate = lr.factor(seen, total)
        ema_half_life = config.ema_half_life * half_life.factor(seen, total)
        probability = gan.augmentation_probability * augmentation.factor(seen, total)
        return StepValues(
            lr_g=optim.lr_g * rate,
            lr_d=optim.lr_d * rate,
            beta2=optim.beta2 * beta2.factor(seen, total),
            ema_decay=ema_decay(each, seen + each, ema_half_life, ramp_up),
            penalty_factor=penalty.factor(seen, total),
            augmentation_probability=probability if gan.skips_augmentations else None,
        )

    return values
