"""Feature extractors in a file outside the package, and the names of those inside."""

import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from tests.evaluation.measuring import evaluator

from d3gan.data.cache import load_images
from d3gan.errors import UserError
from d3gan.evaluation.features.names import FEATURES, check_features, names_plugin
from d3gan.evaluation.real_statistics import drawn_from

PLUGIN = '''
import torch

class Pixels(torch.nn.Module):
    """Mean colours of the cells of a grid."""

    def __init__(self, side: int = 2):
        super().__init__()
        self.side, self.dimensions = side, 3 * side**2

    def forward(self, images):
        return torch.nn.functional.adaptive_avg_pool2d(images / 255, self.side).flatten(1), None

class Quadrants(Pixels):
    """The brightest quadrant as the class."""

    classes = 4

    def forward(self, images):
        features, _ = super().forward(images)
        return features, 100 * features.view(len(images), 3, 4).mean(1)

class Liar(Pixels):
    classes = 10

class Failing(Pixels):
    def forward(self, images):
        raise ValueError("no weights")

class NoNetwork:
    dimensions = 3
'''


@pytest.fixture
def _plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module own_features in the working directory."""
    (tmp_path / "own_features.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_features", raising=False)


@pytest.mark.parametrize("name", FEATURES)
def test_every_entry_has_its_function(name: str) -> None:
    module, _, function = FEATURES[name].load.partition(":")
    assert callable(getattr(import_module(module), function))


def test_known_names_are_not_plugins() -> None:
    assert not names_plugin("classifier:cifar10")
    assert names_plugin("own_features:Pixels(side=3)")
    for features in ("inception", "classifier", "classifier:a/b", "own_features:Pixels"):
        check_features(features)


@pytest.mark.usefixtures("_plugin")
def test_a_plugin_measures_without_class_scores(labelled: Path) -> None:
    own = evaluator(labelled, 200, features="own_features:Pixels")
    assert "fd" in own.asked
    assert not {"cs", "modes", "label_agreement"} & set(own.asked)
    images = load_images(own.data).images
    same = own.measure(drawn_from(images))
    darker = own.measure(drawn_from(images // 2))
    assert same.numbers["fd"].value < 1e-9 < darker.numbers["fd"].value
    assert same.protocol.features == "own_features:Pixels"
    with pytest.raises(UserError, match="'cs' needs class scores, which own_features:Pixels lacks"):
        evaluator(labelled, 200, features="own_features:Pixels", metrics=("cs",))


@pytest.mark.usefixtures("_plugin")
def test_parameters_are_part_of_the_plugin_s_hash(labelled: Path) -> None:
    two, three = (
        evaluator(labelled, 200, features=f"own_features:Pixels(side={side})", metrics=("fd",))
        for side in (2, 3)
    )
    assert two.features.dimensions == 12
    assert three.features.dimensions == 27
    assert two.features.weights_sha256 != three.features.weights_sha256


@pytest.mark.usefixtures("_plugin")
def test_a_plugin_with_the_data_s_classes_measures_label_agreement(labelled: Path) -> None:
    """Images of the set are drawn as if a generator had been asked for the next class of some."""
    own = evaluator(labelled, 200, features="own_features:Quadrants", classes=4)
    loaded = load_images(own.data)
    labels = torch.from_numpy(loaded.labels)
    wrong = torch.arange(200) < 50
    requested = (labels + wrong.long()) % 4
    measured = own.measure(
        drawn_from(loaded.images), lambda numbers: requested[numbers.start : numbers.stop]
    )
    assert measured.numbers["label_agreement"].value == 0.75
    assert measured.protocol.classes == 4
    assert {"cs", "modes"} < set(measured.numbers)


@pytest.mark.usefixtures("_plugin")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Liar", r"two images gave features and logits .*, not \[\[2, 12\], \[2, 10\]\]"),
        ("Failing", "own_features:Failing: ValueError: no weights"),
        ("NoNetwork", r"a feature extractor must be an nn\.Module"),
        ("Missing", "has no class 'Missing'"),
    ],
)
def test_mistakes_of_a_plugin_are_one_line(name: str, message: str, labelled: Path) -> None:
    with pytest.raises(UserError, match=message) as caught:
        evaluator(labelled, features=f"own_features:{name}")
    assert "\n" not in str(caught.value)


def test_a_classifier_of_other_data_does_not_measure_label_agreement(
    labelled: Path, noise_images: Path, quick_classifier: None
) -> None:
    for features in ("classifier", f"classifier:{labelled}"):
        assert "label_agreement" in evaluator(labelled, 200, features=features, classes=4).asked
    other = {"features": f"classifier:{labelled}", "metrics": ("label_agreement",), "classes": 4}
    with pytest.raises(UserError, match="'label_agreement' needs a conditional generator and a"):
        evaluator(noise_images, 200, **other)
