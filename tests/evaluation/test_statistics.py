import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d3gan.evaluation.statistics import Moments, Statistics

CPU = torch.device("cpu")
FEATURES = torch.randn(60, 4, generator=torch.Generator().manual_seed(0)) + 100
LOGITS = torch.randn(60, 3, generator=torch.Generator().manual_seed(1))


def added(first: int, last: int, batch_size: int) -> Statistics:
    """Return statistics of images first to last - 1."""
    statistics = Statistics.empty(60, 4, 3, CPU, keep=True)
    for start in range(first, last, batch_size):
        part = slice(start, min(start + batch_size, last))
        statistics.add(FEATURES[part], LOGITS[part], start)
    return statistics


@given(batch_size=st.integers(1, 60), cut=st.integers(1, 59))
def test_batches_and_parts_do_not_change_the_sums(batch_size: int, cut: int) -> None:
    complete = added(0, 60, 60)
    first, second = added(0, cut, batch_size), added(cut, 60, batch_size)
    for total, one, other in zip(complete.sums(), first.sums(), second.sums(), strict=True):
        torch.testing.assert_close(one + other, total, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.cat([first.rows, second.rows]), FEATURES)


def test_mean_and_covariance_equal_those_of_torch() -> None:
    moments = Moments.empty(4, CPU)
    moments.add(FEATURES)
    torch.testing.assert_close(moments.mean(), FEATURES.double().mean(0))
    torch.testing.assert_close(moments.covariance(), FEATURES.double().T.cov())


def test_classes_are_counted() -> None:
    expected = torch.bincount(LOGITS.argmax(1), minlength=3)
    assert added(0, 60, 7).class_counts.tolist() == expected.tolist()


def test_statistics_survive_saving() -> None:
    complete = added(0, 60, 60)
    again = Statistics.from_state_dict(complete.state_dict(), CPU)
    assert again.count == 60
    for one, other in zip(complete.sums(), again.sums(), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(again.rows, complete.rows)


def test_features_that_were_not_stored_raise() -> None:
    with pytest.raises(ValueError, match="not stored"):
        _ = Statistics.empty(60, 4, 3, CPU, keep=False).rows
