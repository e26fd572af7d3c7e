"""A configuration in which every schedule is at work."""

from typing import Any

from d3gan import config as configs
from d3gan.fields import Scales

SCHEDULE_KEYS = [
    key
    for key, metadata in configs._metadata().items()
    if any(isinstance(item, Scales) for item in metadata)
]

SCHEDULED: dict[str, dict[str, Any]] = {
    "optim": {
        "schedule": "cosine(end=0.3, images=60, warmup=24)",
        "beta2": 0.9,
        "beta2_schedule": "linear(end=1.1, images=56)",
        "ema_half_life_images": 0.0,
        "ema_half_life_steps": 4.0,
        "ema_schedule": "cosine(start=0, end=1, warmup=16)",
        "ema_ramp_up": 0.9,
    },
    "gan": {
        "discriminators": 2,
        "penalties": ["r1(gamma=0.5)", "wgan_gp"],
        "penalty_schedule": "linear(end=0.1, images=50)",
        "augmentations": ["color", "translation", "cutout"],
        "augmentation_probability": 0.7,
        "augmentation_schedule": "linear_decay(start=0.2)",
    },
}
"""For a run of 80 images: some warm up, some rise or fall, and some hold."""
