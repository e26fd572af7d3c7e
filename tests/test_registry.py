from dataclasses import dataclass

import pytest

from d3gan.errors import UserError
from d3gan.registry import Registry, parse_call

FRUIT: Registry[object] = Registry("fruit")


@FRUIT.register("apple")
@dataclass(frozen=True)
class Apple:
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.weight <= 0:
            raise ValueError("weight must be above 0")


def test_builds_with_and_without_parameters() -> None:
    assert FRUIT.build("apple") == Apple()
    assert FRUIT.build(" apple(weight=2) ") == Apple(2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aple", "'aple' is no fruit (did you mean 'apple'?); allowed: apple"),
        (
            "apple(wait=1)",
            "apple has no parameter 'wait' (did you mean 'weight'?); its parameters: weight",
        ),
        ("apple(weight='a')", "weight must be a number"),
        ("apple(weight=True)", "weight must be a number"),
        ("apple(weight=-1)", "weight must be above 0"),
        ("apple(2)", "write name or name(parameter=value)"),
        ("apple(**{})", "write name or name(parameter=value)"),
        ("apple(weight=__import__('os'))", "write name or name(parameter=value)"),
        ("", "write name or name(parameter=value)"),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        FRUIT.build(text)
    assert message in str(caught.value)


def test_nothing_is_evaluated() -> None:
    with pytest.raises(UserError):
        parse_call("print(x=print('called'))")
