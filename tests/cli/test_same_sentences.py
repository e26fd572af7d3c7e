"""d3gan compare and d3gan report say the same of the same folder."""

import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from tests.study.made_up_runs import PROTOCOL, write_run

from d3gan.cli.main import main
from d3gan.report import page
from d3gan.study.plan import PlannedRun, Study
from d3gan.study.study_file import make_study

FALLING = [60.0, 30.0, 15.0, 8.0, 5.0, 5.0]
KNOWN = {**PROTOCOL, "real_modes": 10}

Values = dict[str, Any]
"""Keywords of `write_run` that differ from those of an ordinary run."""


def ordinary(run: PlannedRun) -> Values:
    return {}


def failing(run: PlannedRun) -> Values:
    fails = run.method == "two" and run.config.seed % 2
    return {"values": FALLING[:2], "state": "diverged"} if fails else {}


def censored(run: PlannedRun) -> Values:
    return {"values": [50.0] * 6} if run.method == "two" and run.config.seed < 2 else {}


def collapsed(run: PlannedRun) -> Values:
    return {"modes": [10.0 if run.method == "one" else 2.0] * 6, "protocol": KNOWN}


def mixed(run: PlannedRun) -> Values:
    other = {**PROTOCOL, "real_images": 99}
    return {"protocol": other} if run.method == "two" and run.config.seed == 1 else {}


def flat(run: PlannedRun) -> Values:
    return {"values": [99.0, 98.0, 97.0, 97.0, 97.0, 97.0]}


def unmeasured(run: PlannedRun) -> Values:
    return {"values": [], "state": "finished", "start": None}


TWO = {"methods": {"one": {"base": "demo-dcgan"}, "two": {"base": "demo-d3gan"}}}
FIVE = {"methods": {name: {"base": "demo-dcgan", "optim.lr_g": rate} for name, rate in zip(
    ("b", "a", "e", "c", "d"), (0.1, 0.2, 0.3, 0.4, 0.5), strict=True)}}  # fmt: skip
CASES: dict[str, tuple[dict[str, Any], Callable[[PlannedRun], Values], str]] = {
    "one method": ({"methods": ["demo-dcgan"]}, ordinary, "There is only one method, demo-dcgan"),
    "two methods": ({**TWO, "pilot_seeds": [100, 101]}, ordinary, "times one's training time"),
    "five methods": ({**FIVE, "primary": {"method": "d"}, "baseline": "c"}, ordinary, "d reached"),
    "failed runs": (TWO, failing, "reached by 3 of 6 and 6 of 6 runs"),
    "censored": (TWO, censored, "reached by 4 of 6 and 6 of 6 runs"),
    "collapsed": (TWO, collapsed, "two reached"),
    "varied": ({**TWO, "vary": {"train.batch_size": [16, 32]}}, ordinary, "two-batch_size-16"),
    "mixed protocols": (TWO, mixed, "5 seeds): equivalent"),
    "nothing learned": (TWO, flat, "Nothing can be judged: one learned nothing."),
    "no evaluation at all": (TWO, unmeasured, "Nothing can be judged: one-seed-0 has no"),
}


@pytest.mark.parametrize("case", CASES)
def test_compare_and_report_give_the_same_sentences(
    case: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    values, differs, expected = CASES[case]
    values = {"seeds": [0, 1, 2, 3, 4, 5], "set": {"eval.every_epochs": 1.0}} | values
    monkeypatch.chdir(tmp_path)
    Path("study.toml").write_text(tomli_w.dumps(values))
    study = make_study({"name": "study", **values})
    trained(study, differs)

    with monkeypatch.context() as patched:  # one of the two writes the page
        patched.setattr(page, "write_page", lambda *_, **__: None)
        assert main(["compare", "study.toml", "--json", "compared.json"]) == 0
    compared = capsys.readouterr().out
    assert main(["report", "runs/study", "--json", "reported.json"]) == 0
    reported = capsys.readouterr().out

    first, second = (json.loads(Path(f"{n}.json").read_text()) for n in ("compared", "reported"))
    assert first == second
    text = html.unescape(Path("runs/study/report.html").read_text(encoding="utf-8"))
    assert first["judgement"]["headline"] in text
    assert compared.splitlines()[:-1] == reported.splitlines()[:-1]
    assert all(len(line) <= 80 for line in compared.splitlines())
    sentences = first["judgement"]["sentences"]
    assert sentences[0] == first["judgement"]["headline"]
    assert expected in sentences[0]
    assert " ".join(sentences) in " ".join(compared.splitlines())
    outcome = {run["name"] for run in first["judgement"]["left_out"]}
    assert outcome == {
        "mixed protocols": {"two-seed-1"},
        "no evaluation at all": {run.name for run in study.runs},
    }.get(case, set())


def trained(study: Study, differs: Callable[[PlannedRun], Values]) -> None:
    """Write all runs of a study as if they were trained."""
    for run in study.runs:
        faster = 1.0 - 0.1 * study.methods.index(run.method)
        scale = 1 + 0.02 * (run.config.seed % 5)
        ordinary = {
            "values": [scale * value for value in FALLING],
            "seconds": 10.0 * faster * scale,
            "start": 100.0,
        }
        keywords = {**ordinary, **differs(run)}
        write_run(run.config, keywords.pop("values"), epochs=6, **keywords)
