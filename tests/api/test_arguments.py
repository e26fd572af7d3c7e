from pathlib import Path
from typing import Any

import pytest

from d3gan.api.arguments import configured, flat_changes, with_data
from d3gan.errors import UserError


def test_keys_are_dotted_or_nested() -> None:
    changes = {"train.epochs": 3, "gan": {"discriminators": 4}, "data": {"source": Path("a")}}
    assert flat_changes(changes) == {
        "train.epochs": 3,
        "gan.discriminators": 4,
        "data.source": "a",
    }
    config, resume = configured("demo-d3gan", changes, None)
    assert (config.train.epochs, config.gan.discriminators, resume) == (3, 4, False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.epochs": 3, "train": {"epochs": 4}}, r"train\.epochs is given twice: 3 and 4"),
        ({7: 3}, "changes have the key 7; keys are texts"),
        ({"train": {7: 3}}, "changes have the key 7"),
        ({"train.epoch": 3}, r"changes: unknown key train\.epoch = 3.*train\.epochs"),
        ("train.epochs=3", "changes = 'train.epochs=3': must be a dictionary"),
        ({"train": 3}, "changes: train = 3: must be a table of keys"),
        ({"train": 3, "train.epochs": 4}, "must be a table of keys"),
        ({"train.epochs": "long"}, r"changes: train\.epochs = 'long': must be a number"),
        ({"name": " "}, "name = ' ': must be"),
        ({"name": ""}, "name = '': must not be empty"),
    ],
)
def test_wrong_changes(changes: dict[Any, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        configured("demo-d3gan", changes, None)


def test_data_and_its_source_exclude_each_other() -> None:
    assert with_data({}, "photos") == {"data.source": "photos"}
    assert with_data(None, Path("a/b")) == {"data.source": str(Path("a/b"))}
    with pytest.raises(UserError, match=r"data\.source and data are both given"):
        with_data({"data": {"source": "digits"}}, "photos")


def test_a_mistyped_preset() -> None:
    with pytest.raises(UserError, match="there is no preset 'demo-d3gna'"):
        configured("demo-d3gna", None, None)
