"""Properties of every metric in the list."""

import pytest
import torch

from d3gan.errors import UserError
from d3gan.evaluation.metrics.names import check_names, metric_names
from d3gan.evaluation.metrics.table import check_counts, compute, stores_features
from d3gan.evaluation.statistics import Statistics

CPU = torch.device("cpu")


def statistics(count: int, seed: int, shift: float = 0.0) -> Statistics:
    """Return statistics of random features [count, 6] and logits [count, 4].

    The requested classes are those of the logits before the shift.
    """
    generator = torch.Generator().manual_seed(seed)
    built = Statistics.empty(count, 6, 4, CPU, keep=True)
    features = torch.randn(count, 6, generator=generator) + shift
    logits = 3 * torch.randn(count, 4, generator=generator)
    requested = logits.argmax(1)
    logits[:, 0] += shift
    built.add(features, logits, 0, requested)
    return built


@pytest.mark.parametrize("features", ["inception", "classifier"])
def test_every_number_has_an_error_and_is_finite(features: str) -> None:
    asked = check_names((), features)
    assert asked == tuple(metric_names(features))
    numbers = compute(statistics(300, 0), statistics(200, 1), asked, features)
    assert tuple(numbers) == asked
    for estimate in numbers.values():
        assert torch.isfinite(torch.tensor(estimate)).all()
        assert estimate.standard_error >= 0


@pytest.mark.parametrize("number", metric_names("classifier"))
def test_better_images_have_better_numbers(number: str) -> None:
    """Shifted features and a preferred class are worse by every metric but modes."""
    real = statistics(400, 2)
    good, bad = (
        compute(real, statistics(400, 3, shift), (number,), "classifier")[number].value
        for shift in (0.0, 4.0)
    )
    if number == "modes":
        assert good == bad == 4
    elif metric_names("classifier")[number] == "lower":
        assert good < bad
    else:
        assert good > bad


def test_each_number_alone_equals_the_one_computed_with_others() -> None:
    real, generated = statistics(300, 4), statistics(200, 5)
    together = compute(real, generated, check_names((), "classifier"), "classifier")
    for name, estimate in together.items():
        assert compute(real, generated, (name,), "classifier") == {name: estimate}


def test_features_are_stored_only_when_needed() -> None:
    assert not stores_features(("fd", "cs", "modes"), "classifier")
    assert stores_features(("fd", "kd"), "classifier")


def test_too_few_images() -> None:
    real, six = statistics(300, 6), statistics(6, 7)
    message = (
        "fd needs at least 7 generated images for the covariance of 6 features, but there are 6 "
        "generated images; use more images, or train without evaluations"
    )
    with pytest.raises(UserError, match=message):
        compute(real, six, ("fd",), "classifier")
    assert compute(real, six, ("fd",), "classifier", allow_few=True)["fd"].value > 0
    with pytest.raises(UserError, match="kd needs at least 20 real images, but there are 19 "):
        check_counts(("kd",), "classifier", real=19, generated=50, dimensions=6)
    message = (
        "fd needs at least 129 real and 129 generated images .*, but there are 60 real and 100 "
        "generated images; use more images, measure another metric .--eval.metrics kd; "
    )
    with pytest.raises(UserError, match=message):
        check_counts(("fd",), "classifier", real=60, generated=100, dimensions=128)
