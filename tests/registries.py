"""Configurations that use each entry of the registries, for tests that run over them."""

from typing import Any

from d3gan.gan.objectives import OBJECTIVES


def gan_of(objective: str) -> dict[str, Any]:
    """Return the section ``gan`` of a game of several discriminators with this objective."""
    count = OBJECTIVES.build(objective).discriminators or 3
    return {"objective": objective, "aggregation": "mean", "discriminators": count}
