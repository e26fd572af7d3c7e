"""Helpers of the tests that measure images."""

from pathlib import Path
from typing import Any

import pytest
import torch

from d3gan import config as configs
from d3gan.config import Config, DataConfig, EvalConfig
from d3gan.data.cache import load_images
from d3gan.evaluation.evaluator import Evaluator, Measurement
from d3gan.runs import RunFolder

CPU = torch.device("cpu")


def evaluator(source: Path, samples: int = 150, **settings: Any) -> Evaluator:
    """Return an evaluator of the images of `source` with classifier features."""
    data = DataConfig(str(source), resolution=16, channels=3)
    names = settings.keys() & {"features", "metrics", "weights"}
    wanted = EvalConfig(samples=samples, **{name: settings.pop(name) for name in names})
    return Evaluator(data, load_images(data), wanted, **{"device": CPU} | settings)


def rows(run: Path) -> list[dict[str, Any]]:
    """Return the evaluation rows of a run folder."""
    return [row for row in RunFolder(run).metrics() if row["kind"] == "eval"]


def changed(config: Config, **sections: object) -> Config:
    """Return `config` with some keys changed."""
    return configs.from_dict(sections, config)


def numbers_of(row: dict[str, Any]) -> dict[str, float]:
    """Return the metrics of a row and their standard errors."""
    other = ("step", "epoch", "images", "train_seconds", "eval_seconds", "best", "draws")
    return {key: v for key, v in row.items() if isinstance(v, int | float) and key not in other}


_MEASURE = Evaluator.measure


def measure_as(patch: pytest.MonkeyPatch, *values: float) -> None:
    """Let the next measurements give these values of fd, one after the other."""
    left = iter(values)

    def given(self: Evaluator, *arguments: Any, **options: Any) -> Measurement:
        found = _MEASURE(self, *arguments, **options)
        fd = found.numbers["fd"]._replace(value=next(left))
        return found._replace(numbers=found.numbers | {"fd": fd})

    patch.setattr(Evaluator, "measure", given)
