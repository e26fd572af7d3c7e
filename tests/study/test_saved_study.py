"""The file study.json of a study's folder."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from d3gan.errors import UserError
from d3gan.runs import RunFolder
from d3gan.study.plan import Study
from d3gan.study.question import Primary, Question
from d3gan.study.saved_study import load, save
from d3gan.study.study_file import make_study


def planned(folder: Path, **more: Any) -> Study:
    values = {"methods": ["demo-dcgan", "demo-d3gan"], "seeds": [0, 1], "out_dir": str(folder)}
    return make_study({**values, **more})


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    study = planned(folder, pilot_seeds=[100], margin=0.2, vary={"train.batch_size": [8, 16]})
    saved = save(study)
    assert load(folder) == saved
    assert saved.question == study.question
    assert saved.question.vary == ("train.batch_size",)
    assert saved.runs == tuple(run.name for run in study.runs)
    assert (saved.changed, saved.warnings(folder)) == ((), [])
    assert [file.name for file in folder.iterdir()] == ["study.json"]
    assert json.loads((folder / "study.json").read_text())["version"] == 1


def test_a_folder_without_the_file(tmp_path: Path) -> None:
    assert load(tmp_path) is None
    assert load(tmp_path / "nowhere") is None


def test_more_seeds_do_not_change_the_question(tmp_path: Path) -> None:
    save(planned(tmp_path))
    RunFolder(tmp_path / "demo-dcgan-seed-0").begin("", {})
    saved = save(planned(tmp_path, seeds=[0, 1, 2]))
    assert saved.changed == ()
    assert "demo-d3gan-seed-2" in saved.runs


def test_a_question_may_change_before_there_are_runs(tmp_path: Path) -> None:
    save(planned(tmp_path))
    assert save(planned(tmp_path, margin=0.3)).changed == ()
    RunFolder(tmp_path / "demo-dcgan-seed-0").begin("", {})
    changed = save(planned(tmp_path, margin=0.2, targets=[2.0]))
    assert changed.changed == ("primary", "targets", "margin")
    assert changed.question.primary == Primary("demo-d3gan", "seconds", 2.0)
    assert save(planned(tmp_path)).changed == changed.changed, "it stays so"
    assert changed.warnings(tmp_path) == [
        "primary, targets and margin of the study changed after runs existed, so the question was "
        "not fixed beforehand"
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("", "is damaged (Expecting value"),
        ("[]", "is damaged (must be an object)"),
        ({"version": 2}, "is damaged (version = 2: this program reads 1)"),
        ({"runs": None}, "is damaged (runs = None: must be a list of names)"),
        ({"question": 3}, "is damaged (question = 3: must be an object)"),
        ({"question": {}}, "is damaged (lacks 'question.baseline')"),
        ({"margin": 2}, "is damaged (question.margin = 2: must be above 0 and below 1)"),
        ({"primary": {"method": 1}}, "is damaged (question.primary.method = 1: must be a string)"),
        ({"vary": "x"}, "is damaged (question.vary = 'x': must be a list of names)"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path: Path, change: Any, message: str) -> None:
    save(planned(tmp_path))
    file = tmp_path / "study.json"
    if isinstance(change, dict):
        values = json.loads(file.read_text())
        place = values["question"] if {"margin", "primary", "vary"} & set(change) else values
        place |= change
        change = json.dumps(values)
    file.write_text(change)
    pattern = re.escape(f"{file} {message}") + ".*; repair it, or restore"
    for read in (lambda: load(tmp_path), lambda: save(planned(tmp_path))):
        with pytest.raises(UserError, match=pattern) as caught:
            read()
        assert "\n" not in str(caught.value)


def test_a_file_lacks_a_key(tmp_path: Path) -> None:
    save(planned(tmp_path))
    file = tmp_path / "study.json"
    values = json.loads(file.read_text())
    for key in ("name", "question", "runs", "changed"):
        file.write_text(json.dumps({k: v for k, v in values.items() if k != key}))
        with pytest.raises(UserError, match=f"lacks '{key}'"):
            load(tmp_path)


def test_every_field_of_a_question_is_saved(tmp_path: Path) -> None:
    saved = json.loads(json.dumps(dataclasses.asdict(save(planned(tmp_path)).question)))
    written = json.loads((tmp_path / "study.json").read_text())["question"]
    assert written == saved
    assert set(written) == {field.name for field in dataclasses.fields(Question)}
