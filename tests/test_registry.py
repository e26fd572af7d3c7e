import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from d3gan.errors import UserError
from d3gan.registry import Registry, is_plugin, parse_call, plugin_file


class Fruit:
    weight: float


FRUIT: Registry[Fruit] = Registry("fruit", Fruit)


@FRUIT.register("apple")
@dataclass(frozen=True)
class Apple(Fruit):
    weight: float = 1.0
    worms: int = 0
    red: bool = True
    name: str = ""

    def __post_init__(self) -> None:
        if self.weight <= 0:
            raise ValueError("weight must be above 0")


def test_entries_are_built_with_and_without_parameters() -> None:
    assert FRUIT.build("apple") == Apple()
    assert FRUIT.build(" apple(weight=2) ") == Apple(2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aple", "'aple' is not a fruit (did you mean 'apple'?); allowed: apple"),
        (
            "apple(wait=1)",
            "no parameter 'wait' (did you mean 'weight'?); its parameters: weight, worms,",
        ),
        ("apple(weight='a')", "weight must be a number"),
        ("apple(weight=True)", "weight must be a number"),
        ("apple(worms=1.5)", "apple(worms=1.5): worms must be an integer"),
        ("apple(worms=True)", "worms must be an integer"),
        ("apple(red=1)", "red must be True or False"),
        ("apple(name=1)", "name must be a string"),
        ("apple(weight=-1)", "weight must be above 0"),
        ("apple(2)", "write name or name(parameter=value)"),
        ("apple(**{})", "write name or name(parameter=value)"),
        ("apple(weight=__import__('os'))", "write name or name(parameter=value)"),
        ("", "write name or name(parameter=value)"),
    ],
)
def test_errors_are_reported(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        FRUIT.build(text)
    assert message in str(caught.value)


def test_parameters_are_not_evaluated() -> None:
    with pytest.raises(UserError):
        parse_call("print(x=print('called'))")


PLUGIN = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Pear:
    weight: float = 1.0

def crate(*, of: str = "pears", count: int = 1) -> Pear:
    if count < 0:
        raise OverflowError("no crate is that small")
    return Pear(2.0 * count)

class Stone:
    pass

unit = 3
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a module in the working directory."""
    name = f"pears_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    return name


def test_plugins_are_imported_from_the_working_directory(plugin: str, tmp_path: Path) -> None:
    assert FRUIT.build(f"{plugin}:Pear").weight == 1.0
    assert FRUIT.build(f" {plugin}:Pear(weight=2) ").weight == 2
    assert FRUIT.build(f"{plugin}:crate(count=3)").weight == 6
    assert plugin_file(f"{plugin}:Pear(weight=2)") == (tmp_path / f"{plugin}.py").resolve()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no_such:Pear", "there is no module 'no_such' (for 'Pear'), neither in "),
        ("no.such:Pear", "there is no module 'no.such' (for 'Pear'), neither in "),
        ("PLUGIN:Peer", "has no class 'Peer' (did you mean 'Pear'?)"),
        ("PLUGIN:unit", "'unit' of module 'PLUGIN' is not a class"),
        ("PLUGIN:Stone", "PLUGIN:Stone is not a fruit: it has no weight (see "),
        ("PLUGIN:Pear(wait=1)", "PLUGIN:Pear has no parameter 'wait' (did you mean 'weight'?)"),
        ("PLUGIN:Pear(weight='a')", "weight must be a number"),
        ("PLUGIN:crate(count=-1)", "PLUGIN:crate: OverflowError: no crate is that small"),
        ("PLUGIN:crate(count=__import__('os'))", "write name or name(parameter=value)"),
        ("broken:Pear", "cannot import 'broken' for 'Pear': ZeroDivisionError: division by zero"),
        (
            "needy:Pear",
            "cannot import 'needy' for 'Pear': ModuleNotFoundError: No module",
        ),
    ],
)
def test_errors_in_plugins_are_reported(text: str, message: str, plugin: str) -> None:
    Path("broken.py").write_text("1 / 0")
    Path("needy.py").write_text("import no_such")
    with pytest.raises(UserError) as caught:
        FRUIT.build(text.replace("PLUGIN", plugin))
    assert message.replace("PLUGIN", plugin) in str(caught.value)


def test_plugins_are_recognised() -> None:
    assert is_plugin("a.b_c:D(e=1)")
    for text in (
        "mean",
        "owner/name:config",
        "C:\\images",
        "./a.b:C",
        "a:b.npz",
        "a:B(",
        ":B",
        "a:",
    ):
        assert not is_plugin(text)


def test_lazy_entries_are_imported_when_built(plugin: str) -> None:
    lazy = {"pear": f"{plugin}:Pear", "none": "no_such:None"}
    fruit: Registry[Fruit] = Registry("fruit", f"{__name__}:Fruit", lazy)
    fruit.register("apple")(Apple)
    assert list(fruit) == ["pear", "none", "apple"]
    assert fruit.describe() == "pear, none, apple(weight=1.0, worms=0, red=True, name='')"
    for text in ("pear", "none", "pear(wait=1)", "no_such:Pear"):
        fruit.check(text)
    assert plugin not in sys.modules
    with pytest.raises(UserError, match="'piar' is not a fruit"):
        fruit.check("piar")
    with pytest.raises(UserError, match="pear has no parameter 'wait'"):
        fruit.build("pear(wait=1)")
    assert fruit.build("pear(weight=3)").weight == 3
    assert fruit["pear"] is fruit["pear"]
