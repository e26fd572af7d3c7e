"""The page of a study: its content, structure and escaping."""

import copy
import json
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.program import run_code
from tests.report import made_up
from tests.report.reader import Reader, Study, shown

from d3gan.errors import UserError
from d3gan.report.page import page, write_page, write_plots


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return made_up.study(tmp_path_factory.mktemp("study"), seeds=range(3), rows=40)


@pytest.fixture(scope="module")
def text(study: Study) -> str:
    return page(*study, title="A study")


@pytest.fixture(scope="module")
def reader(text: str) -> Reader:
    return Reader(text)


def test_a_page_has_all_sections(study: Study, reader: Reader) -> None:
    assert [name for name, _ in reader.elements[:2]] == ["html", "head"]
    assert reader.all("html") == [{"lang": "en"}]
    sections = [attributes["id"] for attributes in reader.all("section")]
    assert sections == [
        "verdict", "comparisons", "quality", "stability", "cost", "curves", "samples", "losses",
        "choice", "runs", "configs", "environment", "protocol",
    ]  # fmt: skip
    assert len(reader.all("svg")) > 12
    methods = study[0]["methods"]
    for name, numbers in methods.items():
        estimate = numbers["fd"]
        words = "{mean:.1f} ({low:.1f} to {high:.1f})".format(**estimate)
        assert words in reader.text, name
    for words in ("gan.discriminators", "A GPU of 80 GB", "classifier:mnist", "1.55 GB"):
        assert words in reader.text
    kinds = [re.match("data:image/([a-z]+);base64,", i["src"])[1] for i in reader.all("img")]  # type: ignore[index]
    assert kinds == ["png"] * 3 + ["gif"]


def test_a_page_opens_with_the_headline_and_one_chart(study: Study, reader: Reader) -> None:
    judgement = study[0]["judgement"]
    words = [word for word in reader.words if word.strip()]
    opening = words[words.index("Result") + 1 :]
    assert opening[0] == judgement["headline"]
    assert judgement["sentences"][1] in opening[: opening.index("All comparisons")]
    names = [name for name, _ in reader.elements]
    assert names.index("svg") < names.index("nav") < names.index("table")


def test_every_comparison_stands_in_a_table(study: Study, reader: Reader) -> None:
    (group,) = study[0]["judgement"]["groups"]
    words = " ".join(reader.words)
    for one in group["comparisons"]:
        time, quality = one["time"], one["quality"]
        assert f"{time['estimate']:.2f} (" in words, one
        assert f"{quality['ratio']:.2f} ({quality['low']:.2f} to {quality['high']:.2f})" in words
        assert one["word"] in reader.words
    assert reader.words.count(" primary comparison") == 1
    product = group["costs"]["mnist-d3gan"]["product"]
    assert f"{product:.2f}" in reader.words
    assert "pilot runs of mnist-dcgan, seeds 100, 101 and 102" in reader.words


def test_warnings_and_left_out_runs_are_listed(study: Study) -> None:
    compared = copy.deepcopy(study[0])
    compared["judgement"]["left_out"] = [{"name": "run-x", "reason": "has no evaluation"}]
    compared["warnings"] = ["seed 3 has no partner"]
    reader = shown((compared, study[1]))
    for words in ("Seed 3 has no partner", "Runs left out (1)", "run-x", " has no evaluation"):
        assert words in reader.words


def test_a_reported_value_is_not_the_best_of_training(study: Study, reader: Reader) -> None:
    run = study[0]["runs"]["mnist-dcgan"][0]
    assert f"{run['reported']['fd']:.1f} ± 0.4" in reader.words
    assert f"{run['best']['value']:.1f}" in reader.words
    assert "reported fd" in reader.words
    assert "during training" in reader.text


def test_groups_have_a_chart_and_tables_each(tmp_path: Path) -> None:
    reader = shown(made_up.varied_study(tmp_path, seeds=range(4), rows=4))
    for size in (64, 128, 256):
        assert f"fd against training time, train.batch_size = {size}" in reader.words
        captions = [words for words in reader.words if words.endswith(f"batch_size = {size}")]
        assert len(captions) == 11, "6 tables, 4 charts, 1 heading"
    assert reader.words.count(" primary comparison") == 1


def test_a_page_is_accessible(reader: Reader) -> None:
    for landmark in ("header", "nav", "main", "footer", "title", "h1"):
        assert len(reader.all(landmark)) == 1, landmark
    levels = [int(name[1]) for name, _ in reader.elements if re.fullmatch("h[1-6]", name)]
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert all(image["alt"] and image["width"] for image in reader.all("img"))
    charts = [svg for svg in reader.all("svg") if svg.get("aria-hidden") != "true"]
    assert len(charts) == 13, "the first is drawn for phones and for wide screens"
    for chart in charts:
        assert chart["role"] == "img"
        assert len(chart["aria-label"]) > 40
    assert len(reader.all("table")) == len(reader.all("caption"))
    assert all(cell["scope"] in ("row", "col") for cell in reader.all("th"))
    boxes = [box for box in reader.all("div") if box.get("class") == "scroll"]
    assert len(boxes) == len(reader.all("table"))
    assert all(box["tabindex"] == "0" and box["aria-label"] for box in boxes)
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in reader.elements:
        for key in ("href", "aria-labelledby"):
            if key in attributes:
                assert attributes[key].lstrip("#") in ids
        for used in re.findall(r"url\(#(.*?)\)", " ".join(attributes.values())):
            assert used in ids


def test_alt_texts_describe_the_charts(reader: Reader) -> None:
    labels = " ".join(svg.get("aria-label", "") for svg in reader.all("svg"))
    for words in (
        "lower is better, against training time, and the target fd 2",
        "mnist-d3gan ends at a median of 1",
        "(3 runs, 3 reached the target, after ",
        "at the end of training: G ",
        "mnist-d3gan D1 ",
        "Peak memory, mean over runs, lower is better: mnist-dcgan 1.55 GB",
    ):
        assert words in labels


def test_a_page_loads_nothing(text: str, reader: Reader) -> None:
    for name, attributes in reader.elements:
        assert name not in ("script", "link", "iframe", "object", "base")
        assert not any(key.startswith("on") for key in attributes)
        for key in ("src", "href"):
            assert attributes.get(key, "#").startswith(("#", "data:image/"))
    assert "url(h" not in text
    assert "@import" not in text
    policy = next(meta for meta in reader.all("meta") if "http-equiv" in meta)
    assert policy["content"].startswith("default-src 'none'")


def test_the_same_runs_give_the_same_page(study: Study, text: str, tmp_path: Path) -> None:
    write_page(*study, tmp_path / "new/page.html", title="A study")
    assert (tmp_path / "new/page.html").read_bytes() == text.encode()


EVIL = "<script>alert(1)</script>\"'&amp;<img src=x onerror=alert(2)>$\\frac{"


def test_everything_is_escaped(tmp_path: Path) -> None:
    compared, runs = made_up.study(tmp_path, seeds=range(2), rows=8, sample_grids=3)
    names = {name: f"_{i}{EVIL}" for i, name in enumerate(runs)}
    for (name, evil), folders in zip(names.items(), runs.values(), strict=True):
        for folder in folders:
            text = folder.environment_file.read_text().replace("A GPU of 80 GB", f"gpu{name}")
            session = json.loads(text)
            session[0] |= {"cpu": EVIL, EVIL: EVIL, "command": ["d3gan", EVIL]}
            folder.environment_file.write_text(json.dumps(session))
        for run in compared["runs"][name]:
            run |= {"name": evil, "path": f"/runs/{EVIL}", "status": EVIL}
        compared["configs"][name] |= {"data.source": EVIL, EVIL: [EVIL]}
    compared["differences"]["mnist-d3gan"]["data.source"] = [EVIL, EVIL]
    compared["protocol"] = {"features": EVIL, EVIL: None}
    renamed = {
        key: {names.get(name, name): of_method for name, of_method in value.items()}
        if isinstance(value, dict)
        else value
        for key, value in compared.items()
    }
    renamed |= {"warnings": [EVIL], "baseline": names["mnist-dcgan"], "metric": "fd"}
    renamed["judgement"] = _renamed(compared["judgement"], names)
    renamed["judgement"] |= {
        "headline": EVIL,
        "sentences": [EVIL, f"other {EVIL}"],
        "left_out": [{"name": EVIL, "reason": EVIL}],
    }
    renamed["judgement"]["groups"][0]["varied"] = {EVIL: EVIL}
    evil_runs = {names[name]: folders for name, folders in runs.items()}
    text = page(renamed, evil_runs, title=EVIL)
    reader = Reader(text)
    assert not reader.all("script")
    assert not any("onerror" in attributes for _, attributes in reader.elements)
    assert "<script" not in text
    for words in (EVIL, f"_0{EVIL}", f" /runs/{EVIL}", f"other {EVIL}", f"d3gan {EVIL}"):
        assert words in reader.words, words
    assert f"_2{EVIL}" in "".join(svg.get("aria-label", "") for svg in reader.all("svg"))
    assert len(write_plots(renamed, evil_runs, tmp_path / "plots")) == 12


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Return a plain value in which methods have other names."""
    if isinstance(value, dict):
        return {names.get(key, key): _renamed(part, names) for key, part in value.items()}
    if isinstance(value, list):
        return [_renamed(part, names) for part in value]
    return names.get(value, value) if isinstance(value, str) else value


@pytest.mark.parametrize("methods", [1, 2])
def test_one_seed_has_no_interval(tmp_path: Path, methods: int) -> None:
    names = dict(list(made_up.METHODS.items())[:methods])
    reader = shown(made_up.study(tmp_path, names, [7], rows=5, sample_grids=1))
    fd = reader.words.index("equal compute" if methods > 1 else "modes covered (modes)")
    assert not any(re.search(r"\d \(.* to .*\)", words) for words in reader.words[fd : fd + 20])
    assert "No animation" in reader.text
    nothing = "There is only one method, mnist-dcgan, so nothing is compared."
    assert (nothing in reader.words) == (methods == 1)


def test_many_methods_and_discriminators(tmp_path: Path) -> None:
    methods = {
        f"a-rather-long-name-of-a-method-{i}": {**about, "n": i + 1, "rule": "max"}
        for i, about in enumerate(list(made_up.METHODS.values()) * 3)
    }
    study = made_up.study(tmp_path, methods, [0, 1], rows=5, sample_grids=2, evaluations=3)
    reader = shown(study)
    assert "(maximum 3.17)" in reader.text
    assert len(reader.all("figure")) == 4 + 9 + 1 + 4 + len(methods)


def test_grids_are_compared_at_equal_images(tmp_path: Path) -> None:
    compared, runs = made_up.study(tmp_path / "a", seeds=[0], rows=5, sample_grids=13)
    _, others = made_up.study(
        tmp_path / "b", seeds=[0], rows=5, sample_grids=5, steps=3000, batch_size=128
    )
    runs["mnist-d3gan"] = others["mnist-d3gan"]
    compared["at"]["images"] = 300_000
    reader = shown((compared, runs))
    assert reader.text.count("seed 0, after 288,000 images") == 3
    compared["at"]["images"] = 100_000  # only the first grid is shared up to here
    assert reader.all("img")[-1]["alt"].endswith("from 0 to 288,000 images seen")


def test_plots_are_files(study: Study, tmp_path: Path) -> None:
    files = write_plots(*study, tmp_path / "new/plots")
    assert len({file.name for file in files}) == len(files) == 12
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write to"):
        write_plots(*study, tmp_path / "file")
    with pytest.raises(UserError, match="cannot write to"):
        write_page(*study, tmp_path / "file" / "report.html", title="A study")


def test_a_report_needs_no_torch() -> None:
    code = (
        "import sys; import d3gan, d3gan.report.page, d3gan.report.summary;"
        "assert 'torch' not in sys.modules"
    )
    run_code(code).check_returncode()
