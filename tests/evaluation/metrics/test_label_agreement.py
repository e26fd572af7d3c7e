import pytest
import torch

from d3gan.evaluation.metrics.label_agreement import compute
from d3gan.evaluation.statistics import Statistics


def test_the_share_of_images_of_the_requested_class() -> None:
    real, generated = (Statistics.empty(5, 2, 3, torch.device("cpu"), keep=False) for _ in range(2))
    logits = torch.eye(3)[[0, 1, 2, 0, 1]]
    features = torch.zeros(5, 2)
    generated.add(features[:2], logits[:2], 0, torch.tensor([0, 2]))
    generated.add(features[2:], logits[2:], 2, torch.tensor([2, 0, 1]))
    share, error = compute(real, generated)["label_agreement"]
    assert share == 0.8
    assert error == pytest.approx((0.8 * 0.2 / 5) ** 0.5)
