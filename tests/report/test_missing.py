"""What a page says about data that are missing."""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.report import made_up
from tests.report.reader import Study, shown

from d3gan.report.page import page


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return made_up.study(tmp_path_factory.mktemp("study"), seeds=range(3), rows=40)


def without(*path: str) -> Callable[[dict[str, Any]], None]:
    """Return a change that sets the last key of the path to None; * stands for every key."""

    def change(value: Any, keys: tuple[str, ...] = path) -> None:
        first, *rest = keys
        places = (value if isinstance(value, list) else value.values()) if first == "*" else None
        if places is not None:
            for place in places:
                change(place, tuple(rest))
        elif rest:
            change(value[first], tuple(rest))
        else:
            value[first] = None

    return change


def emptied(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda compared: compared.update({key: {}})


def unreached(compared: dict[str, Any]) -> None:
    """No run reaches the targets, and the judge finds no numbers."""
    for group in compared["judgement"]["groups"]:
        for target in group["targets"]:
            target["value"] = 0.1
        for times in group["times"].values():
            for run in (run for by in times.values() for runs in by.values() for run in runs):
                run["reached"] = None
        for one in group["comparisons"]:
            one |= {"time": None, "quality": None, "adjusted_p": None, "word": "cannot be judged"}
        for costs in group["costs"].values():
            costs |= dict.fromkeys(costs)
        for counts in group["stability"].values():
            counts |= {"collapsed": None, "p_collapsed": None}


def unjudged(compared: dict[str, Any]) -> None:
    """The baseline learned nothing."""
    compared["judgement"] |= {"headline": "Nothing can be judged: nothing was learned."}
    for group in compared["judgement"]["groups"]:
        group |= {"comparisons": [], "targets": [], "times": {}, "costs": {}, "stability": {}}


def of_nothing(compared: dict[str, Any]) -> None:
    """Keep only the required keys."""
    kept = {key: compared[key] for key in ("metric", "better", "baseline")}
    runs = {name: [{"seed": None} for _ in runs] for name, runs in compared["runs"].items()}
    compared.clear()
    compared |= kept | {"runs": runs}


@pytest.mark.parametrize(
    "changes",
    [
        {
            "Not recorded by any run: peak memory and device utilisation.": (
                without("runs", "*", "*", "peak_memory_bytes"),
                without("runs", "*", "*", "utilisation"),
            ),
            "No method of this study selects": (without("runs", "*", "*", "chosen"),),
            "fd against training time": (without("curves", "*", "flops"),),
            "The evaluations recorded no protocol.": (without("protocol"),),
            "cannot be judged": (unreached, without("runs", "*", "*", "best")),
            "reported fd": (without("runs", "*", "*", "reported"),),
        },
        {
            "No curves are available": (emptied("curves"),),
            "No method was evaluated at this number of images.": (emptied("methods"),),
            "equal time": (emptied("at_equal_time"),),
            "Nothing can be judged: nothing was learned.": (unjudged,),
            "No comparison was judged.": (unjudged,),
            "The stability of the methods was not judged.": (unjudged,),
            "The configurations are not available.": (emptied("configs"),),
            "The differences are not available.": (emptied("differences"),),
        },
        {"fd against images seen": (unjudged,)},
        {"Nothing can be judged.": (of_nothing,)},
    ],
)
def test_a_page_names_what_the_comparison_lacks(
    study: Study, changes: dict[str, tuple[Callable[[dict[str, Any]], None], ...]]
) -> None:
    compared, runs = copy.deepcopy(study[0]), study[1]
    for change in (change for several in changes.values() for change in several):
        change(compared)
    reader = shown((compared, runs))
    for words in changes:
        assert words in reader.text
    assert "None" not in reader.words


def test_failed_runs_are_named_at_the_top(study: Study) -> None:
    compared = copy.deepcopy(study[0])
    runs = compared["runs"]["mnist-d3gan"]
    runs[0]["status"], runs[1]["status"], runs[2]["status"] = "diverged", "unfinished", "collapsed"
    text = page(compared, study[1], title="A study")
    for status in ("diverged", "unfinished", "collapsed"):
        assert f"1 of 3 runs of mnist-d3gan {status}" in text[: text.index('id="comparisons"')]


def test_a_page_names_what_the_run_folders_lack(tmp_path: Path) -> None:
    compared, runs = made_up.study(tmp_path, seeds=range(2), rows=8, sample_grids=2)
    one = runs["mnist-d3gan"][0]
    assert "after 384,000 images" in page(compared, runs, title="A study")
    one.sample_file(6000).write_bytes(b"\x89PNG broken")
    reader = shown((compared, runs))
    assert "seed 0, after 0 images; step-00006000.png cannot be read" in reader.words
    assert len(reader.all("img")) == 3, "one frame is no animation"
    one.sample_file(0).write_bytes(b"")
    words = shown((compared, runs)).words
    assert "step-00006000.png and step-00000000.png cannot be read" in words
    assert "The sample grid of mnist-d3gan cannot be shown." in words
    for folder in runs["mnist-d3gan"]:
        shutil.rmtree(folder.samples)
    one.environment_file.unlink()
    text = page(compared, runs, title="A study")
    assert "no samples" in text
    assert f"Not recorded by {one.path.name}." in text
    for folder in (folder for folders in runs.values() for folder in folders):
        shutil.rmtree(folder.samples, ignore_errors=True)
        folder.metrics_file.unlink()
        folder.environment_file.unlink(missing_ok=True)
    reader = shown((compared, runs))
    for words in ("no sample grids", "recorded no losses", "recorded no environment"):
        assert words in reader.text
