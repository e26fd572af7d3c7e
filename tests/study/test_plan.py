"""Planned runs beside those that are there."""

import re
from pathlib import Path
from typing import Any

import pytest
from tests.program import written

from d3gan import config as configs
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.study.plan import PlannedRun, differences, planned_steps
from d3gan.study.study_file import make_study
from d3gan.training.trainer import train


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"gan": {"aggregation": "max"}},
            "gan.aggregation is 'original' there, 'max' in the study",
        ),
        ({"seed": 1}, "seed is 0 there, 1 in the study"),
        ({"train": {"epochs": 1}}, "train.epochs is 2.0 there, 1.0 in the study"),
        ({"eval": {"every_epochs": 1}}, "eval.every_epochs is 0.0 there, 1.0 in the study"),
    ],
)
def test_a_run_that_is_there_but_not_the_planned_one(
    tiny: Config, changes: dict[str, Any], message: str
) -> None:
    train(tiny)
    planned = PlannedRun("tiny", configs.from_dict(changes, tiny))
    with pytest.raises(UserError, match=re.escape(f"is another run than planned: {message}")):
        differences(planned)


def test_a_run_that_is_there_may_go_on_for_longer(tiny: Config) -> None:
    train(tiny)
    assert differences(PlannedRun("tiny", tiny)) == {}
    changes = {"train": {"epochs": 3.0, "log_every_steps": 1}}
    planned = PlannedRun("tiny", configs.from_dict(changes, tiny))
    assert differences(planned) == {"train.epochs": 3.0, "train.log_every_steps": 1}


def test_a_run_whose_learning_rates_fall_to_its_end_has_no_other_end(tiny: Config) -> None:
    falling = configs.from_dict({"optim": {"schedule": "linear_decay"}}, tiny)
    train(falling)
    longer = configs.from_dict({"train": {"epochs": 3.0}}, falling)
    with pytest.raises(UserError, match=r"train\.epochs is 2\.0 there, 3\.0 in the study"):
        differences(PlannedRun("tiny", longer))


def test_more_images_a_step_than_there_are(tiny: Config, tmp_path: Path) -> None:
    values = {"methods": [str(written(tiny, tmp_path))], "set": {"eval.every_epochs": 1}}
    (run, *_) = make_study(values).runs
    assert planned_steps(run) == 10
    (run, *_) = make_study({**values, "vary": {"train.batch_size": [41]}}).runs
    with pytest.raises(UserError, match=r"batch_size = 41: .* has only 40 images"):
        planned_steps(run)
