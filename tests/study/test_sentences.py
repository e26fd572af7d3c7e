"""What the judge says, word for word."""

import math
from typing import Any

import pytest

from d3gan.study import sentences
from d3gan.study.censored import TimeRatio
from d3gan.study.judge import Comparison, Judged, Word
from d3gan.study.learned import Learned
from d3gan.study.measures import Group, Target
from d3gan.study.methods import Method
from d3gan.study.quality import QualityRatio
from d3gan.study.records import Metric

FD = Metric("fd", "lower")
TARGET = Target(1.25, 12.4, 9.92, "pilot", [100, 101, 102])
TIME = TimeRatio(0.76, 0.64, 0.91, 0.003, (8, 8), (8, 8))
QUALITY = QualityRatio(1.02, 0.93, 1.11, 20, 0.95, 1.09, 0.01)


def said(word: Word, reason: str = "", **changes: Any) -> str:
    values = {"time": TIME, "quality": QUALITY, **changes}
    comparison = Comparison(
        "D3GAN", "DCGAN", "seconds", TARGET, True, word=word, reason=reason, **values
    )
    return sentences.sentence(comparison, FD, 0.15)


def test_faster() -> None:
    assert said("faster") == (
        "D3GAN reached FD 12.4 in 0.76 times DCGAN's training time (95 % interval 0.64 to 0.91, "
        "8 seeds each): faster."
    )


def test_slower_says_how_many_runs_reached_the_target() -> None:
    time = TimeRatio(None, 1.3, math.inf, 0.002, (0, 7), (5, 8))
    assert said("slower", time=time) == (
        "D3GAN needs more than 1.30 times DCGAN's training time to reach FD 12.4 (95 % bound, "
        "5 and 8 seeds; reached by 0 of 5 and 7 of 8 runs): slower."
    )


def test_equivalent() -> None:
    assert said("equivalent") == (
        "At DCGAN's training time, D3GAN's FD is 1.02 times DCGAN's (90 % interval 0.95 to 1.09, "
        "20 seeds): equivalent within 15 %."
    )


@pytest.mark.parametrize(
    ("reason", "because"),
    [
        ("", ""),
        ("corrected", " once corrected for the number of comparisons"),
    ],
)
def test_no_clear_difference(reason: str, because: str) -> None:
    quality = QualityRatio(1.3, 0.9, 1.9, 5, 0.95, 1.8, 0.8)
    time = TimeRatio(0.93, 0.71, 1.22, 0.5, (5, 5), (5, 5))
    text = said("no clear difference", reason, time=time, quality=quality)
    assert text.startswith(
        "D3GAN reached FD 12.4 in 0.93 times DCGAN's training time (95 % interval 0.71 to 1.22, 5 "
        f"seeds each): no clear difference{because}. "
    )
    # 5 ((1.96 + 0.84) 0.138 / 0.0726)^2 = 142 seeds
    assert text.endswith("More than 100 more seeds each would be needed to decide it.")


def test_an_undecided_comparison_says_how_many_more_seeds_decide_it() -> None:
    time = TimeRatio(0.8, 0.62, 1.03, 0.08, (8, 8), (8, 8))
    # 8 ((1.959964 + 0.841621) 0.12949 / 0.22314)^2 = 21.15 seeds, so 14 more.
    text = said("no clear difference", time=time, quality=None)
    assert text.endswith(" About 14 more seeds each would probably decide it.")


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        ("never reached", "no run of either reached FD 12.4 (3 seeds each)"),
        ("too few seeds", "3 seeds each cannot show a difference, 6 each can"),
        (
            "first evaluation",
            "most runs had reached FD 12.4 by their first evaluation; evaluate more often",
        ),
        ("unknown cost", "the training time of a run is unknown"),
    ],
)
def test_cannot_be_judged(reason: str, why: str) -> None:
    time = TimeRatio(None, 0.0, math.inf, 1.0, (0, 0), (3, 3))
    text = said("cannot be judged", reason, time=time)
    assert text == f"D3GAN and DCGAN cannot be judged: {why}."


@pytest.mark.parametrize(
    ("reached", "how"), [((7, 8), "8 of 8 would show it"), ((5, 5), "that takes 6 seeds")]
)
def test_a_method_must_be_shown_to_reach_the_target(reached: tuple[int, int], how: str) -> None:
    time = TimeRatio(0.6, 0.5, 0.8, 0.01, reached, (reached[1], reached[1]))
    text = said("no clear difference", "unreliable", time=time, quality=None)
    assert f"D3GAN is not shown to reach it in most of its runs ({how})" in text


def test_too_few_seeds_still_have_an_estimate() -> None:
    time = TimeRatio(0.7, 0.0, math.inf, 0.1, (3, 3), (3, 3))
    assert said("cannot be judged", "too few seeds", time=time) == (
        "D3GAN and DCGAN cannot be judged: 3 seeds each cannot show a difference, 6 each can "
        "(estimate: 0.70 times DCGAN's training time to FD 12.4)."
    )


def test_nothing_learned() -> None:
    learned = Learned(False, 310.4, 322.0, "3 of 3 runs diverged")
    judged = Judged(Group([Method("DCGAN", []), Method("D3GAN", [])]), learned, [], [])
    assert sentences.nothing_learned(judged, FD) == (
        "Nothing can be judged: DCGAN learned nothing. Its best FD is 310, and it would have to be "
        "below 161, half of the 322 before training (step 0). 3 of 3 runs diverged."
    )


def test_the_headline_without_sentences() -> None:
    alone = Judged(Group([Method("DCGAN", [])]), Learned(None), [], [])
    assert sentences.headline([alone], [], []) == (
        "There is only one method, DCGAN, so nothing is compared."
    )
    assert sentences.headline([], [], ["run-a has no evaluation"]) == (
        "Nothing can be judged: run-a has no evaluation."
    )


@pytest.mark.parametrize(
    ("x", "text"),
    [(12.43, "12.4"), (1234.5, "1,234"), (0.01234, "0.0123"), (0, "0"), (9.999, "10.00")],
)
def test_rounded(x: float, text: str) -> None:
    assert sentences.rounded(x) == text
