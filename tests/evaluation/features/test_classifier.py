from pathlib import Path

import torch

from d3gan.config import DataConfig
from d3gan.data.cache import load_images
from d3gan.evaluation.features.classifier import (
    Classifier,
    PerChannel,
    Recipe,
    accuracy,
    shifted,
    train_classifier,
)

CPU = torch.device("cpu")
QUICK = Recipe(width=8, epochs=5.0, least_images=0)


def test_the_classifier_learns_and_is_a_function_of_data_and_recipe(labelled: Path) -> None:
    data = load_images(DataConfig(str(labelled), resolution=16, channels=3))
    images, labels = torch.from_numpy(data.images.copy()), torch.from_numpy(data.labels)
    torch.manual_seed(1)
    one = train_classifier(images, labels, QUICK, CPU)
    torch.manual_seed(2)
    other = train_classifier(images, labels, QUICK, CPU)
    assert accuracy(one, images, labels) > 0.95
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_shifting_equals_its_definition() -> None:
    """Pixel by pixel: each comes from its original position, or the nearest edge."""
    images = torch.randint(0, 256, (40, 3, 5, 7), generator=torch.Generator().manual_seed(0))
    got = shifted(images, torch.arange(40), 2)
    offsets = set()

    def clamped(position: int, last: int) -> int:
        return min(max(position, 0), last)

    for image, moved in zip(images, got, strict=True):
        fits = [
            (dy, dx)
            for dy in range(-2, 3)
            for dx in range(-2, 3)
            if all(
                torch.equal(
                    moved[:, y, x], image[:, min(max(y + dy, 0), 4), min(max(x + dx, 0), 6)]
                )
                for y in range(5)
                for x in range(7)
            )
        ]
        assert len(fits) == 1
        offsets |= set(fits)
    assert len(offsets) > 15
    again = shifted(images[7:9], torch.arange(7, 9), 2)
    assert torch.equal(again, got[7:9])


def test_stacked_digits_use_a_classifier_per_channel() -> None:
    digits = Classifier(1, 4, 10).eval()
    images = torch.randint(0, 256, (6, 3, 16, 16), generator=torch.Generator().manual_seed(1))
    features, logits = PerChannel(digits)(images)
    assert features.shape == (6, 384)
    each = [digits(images[:, k : k + 1]) for k in range(3)]
    r, g, b = (logits_of.argmax(1) for _, logits_of in each)
    assert logits.argmax(1).tolist() == (100 * r + 10 * g + b).tolist()
    torch.testing.assert_close(features[:, 128:256], each[1][0])
    product = (
        each[0][1].softmax(1)[0, 3] * each[1][1].softmax(1)[0, 1] * each[2][1].softmax(1)[0, 4]
    )
    torch.testing.assert_close(logits.softmax(1)[0, 314], product)


def test_larger_images_are_averaged_down() -> None:
    network = Classifier(3, 4, 10).eval()
    images = torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(2))
    blown_up = images.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(network(blown_up)[1], network(images)[1])
