"""Differentiable augmentations of real and generated images."""

from typing import Any

from d3gan.registry import Registry

AUGMENTATIONS: Registry[Any] = Registry("augmentation")
