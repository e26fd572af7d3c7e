"""The list of metrics, and the checks of the configuration's evaluation keys."""

from importlib import import_module

import pytest
from tests.program import run_code

from d3gan.config import EvalConfig
from d3gan.errors import UserError
from d3gan.evaluation.metrics.names import (
    METRICS,
    available,
    check_evaluation,
    check_names,
    metric_names,
)


def test_names_do_not_import_torch() -> None:
    code = "import sys, d3gan.evaluation.metrics.names; sys.exit('torch' in sys.modules)"
    assert run_code(code).returncode == 0


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.module)
def test_every_entry_has_its_function(metric: object) -> None:
    module = import_module(f"d3gan.evaluation.metrics.{metric.module}")  # type: ignore[attr-defined]
    assert callable(module.compute)


def test_names_belong_to_their_features() -> None:
    assert {"fid", "is", "kid"} <= set(metric_names("inception"))
    assert {"fd", "cs", "kd", "modes"} <= set(metric_names("classifier"))
    assert {"fd", "kd"} <= set(metric_names("dinov2"))
    assert metric_names("classifier:digits") == metric_names("classifier")
    assert not {"fd", "cs", "kd", "modes"} & set(metric_names("inception"))
    assert not {"fid", "is", "kid"} & set(metric_names("classifier"))
    message = r"'fid' is not a metric of classifier features \(it is fd\)"
    with pytest.raises(UserError, match=message):
        check_names(("fid",), "classifier")
    with pytest.raises(UserError, match=r"'kid' is not a metric of own features \(it is kd\)"):
        check_names(("kid",), "own:Pixels")
    with pytest.raises(UserError, match=r"\(did you mean 'recall'\?\)"):
        check_names(("recal",), "classifier")


def test_a_number_has_one_name() -> None:
    everything = [number for metric in METRICS for number in metric.gives]
    assert len(everything) == len(set(everything))


def test_contradicting_evaluation_keys_are_refused() -> None:
    check_evaluation(EvalConfig())
    cases = {
        EvalConfig(metrics=("fid",)): r"eval.metrics = \['fid'\]: 'fid' is not a metric",
        EvalConfig(features="inception", monitor="fd"): "eval.monitor = 'fd': must be one of",
        EvalConfig(features="vgg"): "eval.features = 'vgg': must be inception, classifier,",
        EvalConfig(features="inception:x"): "eval.features = 'inception:x': must be",
        EvalConfig(features="classifier:"): "eval.features = 'classifier:': must be",
        EvalConfig(patience=2): "eval.patience = 2: needs eval.every_epochs above 0",
    }
    for evaluation, message in cases.items():
        with pytest.raises(UserError, match=message):
            check_evaluation(evaluation)


def test_only_numbers_that_can_be_computed_are_taken_by_default() -> None:
    everything = available((), "classifier", classes=10, labels=True)
    assert everything == tuple(metric_names("classifier"))
    without_labels = available((), "classifier", classes=10, labels=False)
    assert set(everything) - set(without_labels) == {"label_agreement"}
    features_only = available((), "own:Pixels", classes=0, labels=False)
    assert {"fd", "kd", "recall"} < set(features_only)
    assert not {"cs", "modes", "kl_data", "label_agreement"} & set(features_only)
    assert available(("fd",), "own:Pixels", classes=0, labels=False) == ("fd",)


def test_numbers_that_cannot_be_computed_are_refused() -> None:
    with pytest.raises(UserError, match="'modes' needs class scores, which own:Pixels lacks"):
        available(("modes",), "own:Pixels", classes=0, labels=False)
    with pytest.raises(UserError, match="'label_agreement' needs a conditional generator and a"):
        available(("label_agreement",), "classifier", classes=10, labels=False)
