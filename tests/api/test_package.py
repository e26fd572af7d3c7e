"""The package itself: its names, and that importing it is quick."""

import subprocess
import sys
from importlib.metadata import version

import pytest

import d3gan
from d3gan.config import Config


def test_every_name_exists() -> None:
    assert set(d3gan.__all__) == set(d3gan._PLACES)
    for name in d3gan.__all__:
        assert getattr(d3gan, name).__name__ == name
        assert getattr(d3gan, name).__doc__
        assert name in dir(d3gan)
    assert d3gan.Config is Config
    assert d3gan.__version__ == version("d3gan")


def test_other_names_do_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        d3gan.trian  # noqa: B018


def test_importing_the_package_is_quick() -> None:
    code = (
        "import d3gan, sys; print(len({'torch', 'numpy', 'tyro', 'rich'} & set(sys.modules)));"
        "d3gan.train, d3gan.load, d3gan.compare, d3gan.evaluate, d3gan.Run;"
        "print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert result.stdout.split() == [b"0", b"False"], result.stderr
