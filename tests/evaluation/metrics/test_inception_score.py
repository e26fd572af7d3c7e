import pytest
import torch
from torch import nn
from torchmetrics.image.inception import InceptionScore

from d3gan.evaluation.metrics.inception_score import classifier_score
from d3gan.evaluation.statistics import SPLITS, ScoreSums

CPU = torch.device("cpu")


def score_sums(logits: torch.Tensor, batch_size: int = 64, splits: int = SPLITS) -> ScoreSums:
    sums = ScoreSums.empty(logits.shape[1], CPU, splits)
    for first in range(0, len(logits), batch_size):
        part = logits[first : first + batch_size]
        numbers = first + torch.arange(len(part))
        sums.add(part, numbers * splits // len(logits))
    return sums


def test_an_undecided_classifier_scores_1() -> None:
    score = classifier_score(score_sums(torch.zeros(100, 7)))
    assert score.value == pytest.approx(1.0)
    assert score.standard_error == pytest.approx(0.0, abs=1e-12)


def test_certain_and_uniform_classes_score_their_number() -> None:
    logits = 1e4 * torch.eye(7).repeat(100, 1)
    assert classifier_score(score_sums(logits)).value == pytest.approx(7.0)


def test_one_class_scores_1() -> None:
    logits = 1e4 * torch.eye(7)[[3] * 100]
    assert classifier_score(score_sums(logits)).value == pytest.approx(1.0)


def test_the_score_equals_its_definition_per_split() -> None:
    logits = torch.randn(103, 5, generator=torch.Generator().manual_seed(0)).double()
    p = logits.softmax(1)
    scores = []
    for split in range(SPLITS):
        part = p[[i for i in range(103) if i * SPLITS // 103 == split]]
        marginal = part.mean(0)
        scores.append((part * (part / marginal).log()).sum(1).mean().exp())
    expected = torch.stack(scores)
    got = classifier_score(score_sums(logits, batch_size=7))
    assert got.value == pytest.approx(float(expected.mean()), rel=1e-12)
    assert got.standard_error == pytest.approx(float(expected.std()) / SPLITS**0.5, rel=1e-9)


@pytest.mark.filterwarnings("ignore:Metric .* will save all")
def test_torchmetrics_agrees() -> None:
    """torchmetrics shuffles before it splits, which is repeated here."""
    logits = torch.randn(500, 10, generator=torch.Generator().manual_seed(1)) * 3
    metric = InceptionScore(feature=nn.Identity(), splits=10)
    metric.update(logits)
    torch.manual_seed(2)
    mean, deviation = metric.compute()
    torch.manual_seed(2)
    ours = classifier_score(score_sums(logits[torch.randperm(500)]))
    assert ours.value == pytest.approx(float(mean), rel=1e-5)
    assert ours.standard_error == pytest.approx(float(deviation) / 10**0.5, rel=1e-5)
