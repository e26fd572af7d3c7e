"""Checks that objective, aggregation rule, penalties and number of discriminators fit together."""

from collections.abc import Mapping
from typing import Any

from d3gan.errors import UserError
from d3gan.gan.aggregation import Aggregation
from d3gan.gan.objectives import JointObjective, Objective
from d3gan.schema import Config
from d3gan.schema_game import GanConfig


def check_game(config: Config, built: Mapping[str, list[Any]]) -> None:
    """Raise UserError, naming the keys, if the choices of the game do not fit together.

    `built` holds the objects that the values of the keys name.
    """
    gan = config.gan
    (objective,), (rule,) = built["gan.objective"], built["gan.aggregation"]
    if objective.discriminators not in (None, gan.discriminators):
        raise UserError(
            f"gan.discriminators = {gan.discriminators}: gan.objective = {gan.objective!r} is "
            f"defined for {objective.discriminators}"
        )
    if gan.discriminators < objective.least_discriminators:
        raise UserError(
            f"gan.discriminators = {gan.discriminators}: gan.objective = {gan.objective!r} needs "
            f"at least {objective.least_discriminators}"
        )
    if gan.discriminators > 1:
        _check_rule(gan, objective, rule)
    names = [penalty.name for penalty in built["gan.penalties"]]
    if len(set(names)) < len(names):
        raise UserError(f"gan.penalties = {list(gan.penalties)}: names a penalty twice")
    if config.train.accumulate > 1 and isinstance(objective, JointObjective):
        raise UserError(
            f"train.accumulate = {config.train.accumulate}: gan.objective = {gan.objective!r} "
            "needs the whole batch at once; set train.accumulate = 1"
        )


def _check_rule(gan: GanConfig, objective: Objective, rule: Aggregation) -> None:
    """Raise UserError if the aggregation rule is not defined for the objective's losses."""
    if objective.equal_weights and not rule.equal_weights:
        raise UserError(
            f"gan.aggregation = {gan.aggregation!r}: gan.objective = {gan.objective!r} sums the "
            "losses against all discriminators; set gan.aggregation = 'mean'"
        )
    if objective.signed and not rule.takes_signed:
        raise UserError(
            f"gan.aggregation = {gan.aggregation!r} needs losses above zero, which gan.objective = "
            f"{gan.objective!r} does not give; choose another of the two"
        )
    one_sign = objective.negative or not objective.signed
    if rule.needs_one_sign and not one_sign:
        raise UserError(
            f"gan.aggregation = {gan.aggregation!r} needs losses of one sign, and those of "
            f"gan.objective = {gan.objective!r} can have both; choose another of the two"
        )
    if rule.needs_separable and not objective.separable:
        raise UserError(
            f"gan.aggregation = {gan.aggregation!r} is defined for separable objectives only, and "
            f"gan.objective = {gan.objective!r} is not; choose another rule, for example 'mean'"
        )
