"""Fixtures for studies: runs of a small program, and runs that were never trained."""

import dataclasses
from pathlib import Path

import pytest
from tests.program import written
from tests.stub import Stub, make_stub
from tests.study.made_up_runs import Studio

from d3gan.config import Config
from d3gan.study.plan import Study
from d3gan.study.study_file import make_study


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    return make_stub(tmp_path, monkeypatch)


@pytest.fixture
def study(tiny: Config, tmp_path: Path) -> Study:
    """Runs a-seed-0, b-seed-0, a-seed-1, b-seed-1 of ten steps."""
    files = [str(written(dataclasses.replace(tiny, name=name), tmp_path)) for name in "ab"]
    changes = {"eval.every_epochs": 1, "train.device": "cpu"}
    values = {"methods": files, "seeds": [0, 1], "out_dir": tiny.out_dir, "set": changes}
    return make_study(values)


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return Studio(tmp_path)
