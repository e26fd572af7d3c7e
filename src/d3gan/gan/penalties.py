"""Gradient penalties of the discriminators."""

from dataclasses import dataclass
from typing import Any

from d3gan.registry import Registry

PENALTIES: Registry[Any] = Registry("penalty")


@PENALTIES.register("r1")
@dataclass(frozen=True)
class R1:
    """gamma / 2 * ||grad_x D_k(x)||^2 on real images."""

    gamma: float = 0.1
