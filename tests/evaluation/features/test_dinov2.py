"""DINOv2 features, with a small network of random weights in the layout of the hub's files."""

import hashlib
import pickle
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.evaluation.measuring import evaluator
from torch import Tensor
from torch.nn import functional

from d3gan import hub
from d3gan.config import DataConfig
from d3gan.errors import UserError
from d3gan.evaluation.features import dinov2
from d3gan.evaluation.features.extractor import Features, load_features
from d3gan.evaluation.features.names import check_features
from d3gan.evaluation.real_statistics import drawn_from

CPU = torch.device("cpu")
WIDTH, LAYERS, HEADS = 12, 2, 2


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers = pytest.importorskip("transformers", reason="needs d3gan[dinov2]")
    config = transformers.Dinov2Config(
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        image_size=518,
        patch_size=14,
    )
    torch.manual_seed(0)
    model = transformers.Dinov2Model(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=1.0 if parameter.dim() == 1 else 0.5)
    folder = tmp_path_factory.mktemp("hub") / "dinov2-large"
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Folder of the small network, whose hashes are expected instead of the real one's."""
    digests = {
        name: hashlib.sha256((saved / name).read_bytes()).hexdigest() for name in dinov2.FILES
    }
    monkeypatch.setattr(dinov2, "FILES", digests)
    return saved


def loaded(weights: Path | str) -> Features:
    data = DataConfig(resolution=16, channels=3)
    return load_features("dinov2", data, weights=str(weights), folder=Path("none"), device=CPU)


def random_images(count: int, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    size = (count, channels, 20, 20)
    return torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)


def prepared(image: Tensor) -> Tensor:
    """Return an image [C, H, W] as dgm-eval prepares it: Pillow, then the usual normalisation."""
    array = image.expand(3, -1, -1).permute(1, 2, 0).numpy()
    picture = Image.fromarray(array).resize((224, 224), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (pixels - mean[:, None, None]) / deviation[:, None, None]


def transformer(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """Return the normalised class token of images [B, 3, 224, 224], written out from the paper.

    `weights` have the names of the file on the hub.
    """

    def linear(name: str, x: Tensor) -> Tensor:
        return functional.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(name: str, x: Tensor) -> Tensor:
        gain, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return functional.layer_norm(x, (WIDTH,), gain, bias, eps=1e-6)

    def heads(x: Tensor) -> Tensor:
        return x.unflatten(2, (HEADS, -1)).transpose(1, 2)

    patch = "embeddings.patch_embeddings.projection"
    x = functional.conv2d(x, weights[f"{patch}.weight"], weights[f"{patch}.bias"], stride=14)
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([weights["embeddings.cls_token"].expand(len(x), -1, -1), x], 1)
    positions = weights["embeddings.position_embeddings"]
    grid = positions[:, 1:].reshape(1, 37, 37, WIDTH).permute(0, 3, 1, 2)
    # As torch.hub's dinov2_vitl14: a scale factor with an offset of 0.1 patches.
    grid = functional.interpolate(grid, scale_factor=(16.1 / 37, 16.1 / 37), mode="bicubic")
    x = x + torch.cat([positions[:, :1], grid.permute(0, 2, 3, 1).reshape(1, -1, WIDTH)], 1)
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        y = norm(f"{layer}.norm1", x)
        q, k, v = (
            heads(linear(f"{layer}.attention.attention.{name}", y))
            for name in ("query", "key", "value")
        )
        attention = (q @ k.transpose(2, 3) / (WIDTH / HEADS) ** 0.5).softmax(3)
        y = (attention @ v).transpose(1, 2).flatten(2)
        y = linear(f"{layer}.attention.output.dense", y)
        x = x + weights[f"{layer}.layer_scale1.lambda1"] * y
        y = linear(f"{layer}.mlp.fc1", norm(f"{layer}.norm2", x))
        y = linear(f"{layer}.mlp.fc2", functional.gelu(y))
        x = x + weights[f"{layer}.layer_scale2.lambda1"] * y
    return norm("layernorm", x)[:, 0]


@pytest.mark.parametrize("channels", [1, 3])
def test_features_are_those_of_the_paper(folder: Path, channels: int) -> None:
    from safetensors.torch import load_file

    images = random_images(3, channels)
    features, logits = loaded(folder)(images)
    weights = load_file(folder / "model.safetensors")
    expected = transformer(weights, torch.stack([prepared(image) for image in images]))
    assert logits is None
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    assert features.std(0).min() > 1e-3  # images differ in every feature


def test_the_resize_is_pillows() -> None:
    images = random_images(2)
    resized = dinov2.pillow_bicubic(images, 50)
    for image, got in zip(images, resized, strict=True):
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        expected = np.asarray(picture.resize((50, 50), Image.Resampling.BICUBIC))
        assert (got.permute(1, 2, 0).numpy() == expected).all()


def test_features_depend_on_the_image_alone(folder: Path) -> None:
    features = loaded(folder)
    images = random_images(features.batch_size)
    together, _ = features(images)
    alone, _ = features(images[5:6])
    assert torch.equal(alone[0], together[5])


def test_what_the_protocol_says(folder: Path) -> None:
    features = loaded(folder)
    assert (features.name, features.dimensions, features.classes) == ("dinov2", WIDTH, 0)
    assert features.weights_sha256 == dinov2.FILES["model.safetensors"]
    assert features.resize == "Pillow bicubic to 224"
    assert {parameter.dtype for parameter in features.network.parameters()} == {torch.float32}
    assert pickle.loads(pickle.dumps(features)).name == "dinov2"  # for the other ranks


def test_images_are_measured_without_class_scores(folder: Path, labelled: Path) -> None:
    measuring = evaluator(labelled, 24, features="dinov2", weights=str(folder))
    assert measuring.asked[0] == "fd"
    assert not {"fid", "is", "cs", "modes", "label_agreement"} & set(measuring.better)
    images = random_images(24).numpy()[:, :, :16, :16]
    numbers = measuring.measure(drawn_from(images)).numbers
    assert set(numbers) == set(measuring.asked) == set(measuring.better)
    with pytest.raises(UserError, match="'modes' is not a metric of dinov2 features"):
        evaluator(labelled, 24, features="dinov2", metrics=("modes",), weights=str(folder))


def test_other_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    file = copy / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"model.safetensors is not that of facebook/dinov2-large"):
        loaded(copy)
    file.unlink()
    with pytest.raises(UserError, match=r"cannot read the DINOv2 weights .*No such file"):
        loaded(copy)


def test_weights_that_do_not_fit_are_refused(saved: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(saved, copy)
    config = copy / "config.json"
    config.write_text(
        config.read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 3')
    )
    with pytest.raises(UserError, match="do not fit their configuration"):
        dinov2._read_model(copy)


def test_without_a_folder_the_files_come_from_the_hub(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def download(*arguments: Any) -> Path:
        asked.append(arguments)
        return folder

    monkeypatch.setattr(hub, "download", download)
    assert loaded("").dimensions == WIDTH
    assert asked == [(dinov2.REPOSITORY, dinov2.REVISION, ["config.json", "model.safetensors"])]


def test_a_machine_without_a_network_is_told_the_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(hub, "_answers", lambda endpoint: False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", "no/such/cache")
    with pytest.raises(UserError, match=r"cannot download facebook/dinov2-large .*--eval.weights"):
        loaded("")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"needs transformers: pip install 'd3gan\[dinov2\]'"):
        check_features("dinov2")
