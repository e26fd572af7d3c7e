"""Verdicts and warnings in words."""

import pytest
from tests.study.made_up_runs import FALLING, Studio, compare

from d3gan import config as configs
from d3gan.study.statistics import Speedup
from d3gan.study.verdict import rounded, sentence


def speedup(mean: float | None, low: float | None = None, high: float | None = None,
            pairs: int = 3, censored: int = 0) -> Speedup:  # fmt: skip
    return Speedup(mean, low, high, pairs, censored)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (speedup(2.0, 1.5, 2.5), "B is faster than A: it reached A's best FD in 0.50 times its"),
        (speedup(0.5, 0.4, 0.6), "B is slower than A: it reached A's best FD in 2.00 times its"),
        (speedup(1.2, 0.9, 1.6), "No clear difference between B and A. B reached A's best FD in"),
        (speedup(1.2, 0.9, 1.6), "95 % interval 0.90 to 1.60, 3 pairs of seeds), but the interval"),
        (speedup(1.2, None, 1.6, censored=2), "Two of three runs never reached A's best FD, so"),
        (
            speedup(0.5, None, 0.6, censored=1),
            "B is slower than A: one of three runs never reached",
        ),
        (
            speedup(0.5, pairs=1, censored=1),
            "No clear difference between B and A. Its only run nev",
        ),
        (speedup(2.0, pairs=1), "but one seed gives no interval."),
        (speedup(2.0, None, None), "but no interval could be computed."),
        (speedup(1.2, None, 1.6, pairs=20, censored=12), "12 of 20 runs never reached"),
        (speedup(None, pairs=0), "B and A cannot be compared: no run of A with a common seed has"),
    ],
)
def test_sentences(found: Speedup, expected: str) -> None:
    text = sentence("B", "A", "fd", found, seeds=3)
    assert expected in text
    assert text.endswith(".")


def test_names_of_metrics_in_sentences() -> None:
    found = speedup(2.0, 1.5, 2.5)
    assert "best KID" in sentence("B", "A", "kid", found, seeds=3)
    assert "best precision" in sentence("B", "A", "precision", found, seeds=3)


def test_a_warning_names_different_hardware(studio: Studio) -> None:
    runs = [studio.run("dcgan", 0, FALLING), studio.run("d3gan", 0, FALLING)]
    runs[1].environment_file.write_text('[{"gpus": ["slide rule"], "processes": 2}]')
    assert compare(runs)["warnings"] == [
        "the runs used different hardware, so that their training times are not comparable: "
        "2 processes on slide rule; abacus"
    ]


def test_several_methods_have_a_sentence_each(studio: Studio) -> None:
    runs = [studio.run(m, s, FALLING) for m in ("dcgan", "d3gan", "two-d3gan") for s in (0, 1)]
    for run in runs[4:]:
        config = configs.from_dict({"gan": {"aggregation": "max"}}, configs.from_dict(run.config()))
        run.config_file.write_text(configs.to_toml(config))
    found = compare(runs)
    assert list(found["verdicts"]) == ["d3gan", "two-d3gan"]
    assert found["verdict"].startswith(" ".join(found["verdicts"].values()))
    assert found["verdict"].endswith("not for all of them together.")
    assert found["differences"]["two-d3gan"]["gan.aggregation"] == ["original", "max"]


def test_rounded_ratios() -> None:
    assert [rounded(x) for x in (1.0, 1.0004, 0.996, 0.5, 12.345, 0.0123, 4567.0)] == [
        *["1.00", "1.0004", "0.996", "0.50", "12.35", "0.0123", "4.57e+03"]
    ]
