"""FID and IS of CIFAR-10 agree with the values that torch-fidelity publishes, within its tolerance.

Needs the Inception weights: ``D3GAN_INCEPTION_WEIGHTS`` names the file. CIFAR-10 comes from
``D3GAN_DATA`` or the hub. The values are those of https://github.com/toshas/torch-fidelity:

- README.md: the Inception Score of the 50,000 training images is 11.23678.
- tests/tf1/numerical_precision/test_metric_fid_fidelity.py: the FID of 5,000 training images from
  5,000 test images is 10.3233274, to 1e-4. utils/util_dump_dataset_as_images.py chooses both sets:
  ``numpy.random.RandomState(2020).choice(M, 5000, replace=False)``, in the order of the files
  data_batch_1 to data_batch_5 and test_batch.
- doc/sphinx/source/precision.md: the relative error of the Inception Score is 1e-3.

The order of the images differs between copies of CIFAR-10, so the exact FID needs the original
files too: ``D3GAN_CIFAR10_BATCHES`` names their folder, cifar-10-batches-py. Without them another
5,000 and 5,000 images must agree within the error of a sample.
"""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from d3gan.config import DataConfig, EvalConfig
from d3gan.data.cache import ImageSet, load_images
from d3gan.evaluation.evaluator import Evaluator
from d3gan.evaluation.metrics.estimate import Estimate
from d3gan.evaluation.real_statistics import drawn_from
from d3gan.images import Images

WEIGHTS = os.environ.get("D3GAN_INCEPTION_WEIGHTS", "")
BATCHES = os.environ.get("D3GAN_CIFAR10_BATCHES", "")
TRAIN, TEST = (DataConfig("cifar10", split=split, resolution=32) for split in ("train", "test"))
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

INCEPTION_SCORE, SCORE_TOLERANCE = 11.23678, 1e-3
"""Of the training images; the tolerance is relative."""
FID, FID_TOLERANCE = 10.3233274, 1e-4
"""Between 5,000 training and 5,000 test images; the tolerance is absolute."""
SUBSET = 5000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.timeout(6 * 3600),  # on a CPU; minutes on a CUDA device
    pytest.mark.skipif(
        not WEIGHTS,
        reason="needs the Inception weights: D3GAN_INCEPTION_WEIGHTS=pt_inception-2015-12-05-*.pth",
    ),
]


def measured(real: ImageSet, images: Images, metric: str) -> Estimate:
    wanted = EvalConfig(
        samples=len(images), features="inception", metrics=(metric,), weights=WEIGHTS
    )
    evaluator = Evaluator(TRAIN, real, wanted, DEVICE)
    return evaluator.measure(drawn_from(images), title=metric).numbers[metric]


def original(files: list[str]) -> Images:
    """Return the images [M, 3, 32, 32] of the original files."""
    parts = []
    for name in files:
        with (Path(BATCHES) / name).open("rb") as file:
            parts.append(pickle.load(file, encoding="bytes")[b"data"])
    return np.concatenate(parts).reshape(-1, 3, 32, 32)


def chosen(images: Images) -> Images:
    """Return the images that torch-fidelity's test takes."""
    return images[np.random.RandomState(2020).choice(len(images), SUBSET, replace=False)]


def test_the_inception_score_of_the_training_images() -> None:
    """Ours divides them into other random parts, which is far below the tolerance."""
    real = load_images(TRAIN)
    found = measured(real._replace(images=real.images[:1000]), real.images, "is")
    assert found.value == pytest.approx(INCEPTION_SCORE, rel=SCORE_TOLERANCE)


@pytest.mark.skipif(
    not BATCHES, reason="needs the original files: D3GAN_CIFAR10_BATCHES=cifar-10-batches-py"
)
def test_the_fid_of_the_same_images() -> None:
    train = chosen(original([f"data_batch_{number}" for number in range(1, 6)]))
    test = chosen(original(["test_batch"]))
    real = load_images(TEST)._replace(images=test)
    assert measured(real, train, "fid").value == pytest.approx(FID, abs=FID_TOLERANCE)


def test_the_fid_of_other_images_of_both_splits() -> None:
    """Both samples vary, here and there; the standard error is that of one of the four."""
    train, test = load_images(TRAIN), load_images(TEST)
    found = measured(test._replace(images=chosen(test.images)), chosen(train.images), "fid")
    assert abs(found.value - FID) < 4 * 2 * found.standard_error
