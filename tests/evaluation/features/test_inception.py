"""The names of the checkpoint, the values of the network, and the download."""

import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from d3gan.errors import UserError
from d3gan.evaluation.features import inception_weights
from d3gan.evaluation.features.inception import Inception, tf1_bilinear
from d3gan.rng import Stream, normal

CONVOLUTIONS = """
Conv2d_1a_3x3 32x3x3x3, Conv2d_2a_3x3 32x32x3x3, Conv2d_2b_3x3 64x32x3x3,
Conv2d_3b_1x1 80x64x1x1, Conv2d_4a_3x3 192x80x3x3,
Mixed_5b.branch1x1 64x192x1x1, Mixed_5b.branch5x5_1 48x192x1x1, Mixed_5b.branch5x5_2 64x48x5x5,
Mixed_5b.branch3x3dbl_1 64x192x1x1, Mixed_5b.branch3x3dbl_2 96x64x3x3,
Mixed_5b.branch3x3dbl_3 96x96x3x3, Mixed_5b.branch_pool 32x192x1x1,
Mixed_5c.branch1x1 64x256x1x1, Mixed_5c.branch5x5_1 48x256x1x1, Mixed_5c.branch5x5_2 64x48x5x5,
Mixed_5c.branch3x3dbl_1 64x256x1x1, Mixed_5c.branch3x3dbl_2 96x64x3x3,
Mixed_5c.branch3x3dbl_3 96x96x3x3, Mixed_5c.branch_pool 64x256x1x1,
Mixed_5d.branch1x1 64x288x1x1, Mixed_5d.branch5x5_1 48x288x1x1, Mixed_5d.branch5x5_2 64x48x5x5,
Mixed_5d.branch3x3dbl_1 64x288x1x1, Mixed_5d.branch3x3dbl_2 96x64x3x3,
Mixed_5d.branch3x3dbl_3 96x96x3x3, Mixed_5d.branch_pool 64x288x1x1,
Mixed_6a.branch3x3 384x288x3x3, Mixed_6a.branch3x3dbl_1 64x288x1x1,
Mixed_6a.branch3x3dbl_2 96x64x3x3, Mixed_6a.branch3x3dbl_3 96x96x3x3,
Mixed_6b.branch1x1 192x768x1x1, Mixed_6b.branch7x7_1 128x768x1x1,
Mixed_6b.branch7x7_2 128x128x1x7, Mixed_6b.branch7x7_3 192x128x7x1,
Mixed_6b.branch7x7dbl_1 128x768x1x1, Mixed_6b.branch7x7dbl_2 128x128x7x1,
Mixed_6b.branch7x7dbl_3 128x128x1x7, Mixed_6b.branch7x7dbl_4 128x128x7x1,
Mixed_6b.branch7x7dbl_5 192x128x1x7, Mixed_6b.branch_pool 192x768x1x1,
Mixed_6c.branch1x1 192x768x1x1, Mixed_6c.branch7x7_1 160x768x1x1,
Mixed_6c.branch7x7_2 160x160x1x7, Mixed_6c.branch7x7_3 192x160x7x1,
Mixed_6c.branch7x7dbl_1 160x768x1x1, Mixed_6c.branch7x7dbl_2 160x160x7x1,
Mixed_6c.branch7x7dbl_3 160x160x1x7, Mixed_6c.branch7x7dbl_4 160x160x7x1,
Mixed_6c.branch7x7dbl_5 192x160x1x7, Mixed_6c.branch_pool 192x768x1x1,
Mixed_6d.branch1x1 192x768x1x1, Mixed_6d.branch7x7_1 160x768x1x1,
Mixed_6d.branch7x7_2 160x160x1x7, Mixed_6d.branch7x7_3 192x160x7x1,
Mixed_6d.branch7x7dbl_1 160x768x1x1, Mixed_6d.branch7x7dbl_2 160x160x7x1,
Mixed_6d.branch7x7dbl_3 160x160x1x7, Mixed_6d.branch7x7dbl_4 160x160x7x1,
Mixed_6d.branch7x7dbl_5 192x160x1x7, Mixed_6d.branch_pool 192x768x1x1,
Mixed_6e.branch1x1 192x768x1x1, Mixed_6e.branch7x7_1 192x768x1x1,
Mixed_6e.branch7x7_2 192x192x1x7, Mixed_6e.branch7x7_3 192x192x7x1,
Mixed_6e.branch7x7dbl_1 192x768x1x1, Mixed_6e.branch7x7dbl_2 192x192x7x1,
Mixed_6e.branch7x7dbl_3 192x192x1x7, Mixed_6e.branch7x7dbl_4 192x192x7x1,
Mixed_6e.branch7x7dbl_5 192x192x1x7, Mixed_6e.branch_pool 192x768x1x1,
Mixed_7a.branch3x3_1 192x768x1x1, Mixed_7a.branch3x3_2 320x192x3x3,
Mixed_7a.branch7x7x3_1 192x768x1x1, Mixed_7a.branch7x7x3_2 192x192x1x7,
Mixed_7a.branch7x7x3_3 192x192x7x1, Mixed_7a.branch7x7x3_4 192x192x3x3,
Mixed_7b.branch1x1 320x1280x1x1, Mixed_7b.branch3x3_1 384x1280x1x1,
Mixed_7b.branch3x3_2a 384x384x1x3, Mixed_7b.branch3x3_2b 384x384x3x1,
Mixed_7b.branch3x3dbl_1 448x1280x1x1, Mixed_7b.branch3x3dbl_2 384x448x3x3,
Mixed_7b.branch3x3dbl_3a 384x384x1x3, Mixed_7b.branch3x3dbl_3b 384x384x3x1,
Mixed_7b.branch_pool 192x1280x1x1,
Mixed_7c.branch1x1 320x2048x1x1, Mixed_7c.branch3x3_1 384x2048x1x1,
Mixed_7c.branch3x3_2a 384x384x1x3, Mixed_7c.branch3x3_2b 384x384x3x1,
Mixed_7c.branch3x3dbl_1 448x2048x1x1, Mixed_7c.branch3x3dbl_2 384x448x3x3,
Mixed_7c.branch3x3dbl_3a 384x384x1x3, Mixed_7c.branch3x3dbl_3b 384x384x3x1,
Mixed_7c.branch_pool 192x2048x1x1
"""
"""The checkpoint's convolutions, each followed by a batch norm."""


def checkpoint_shapes() -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of the checkpoint."""
    shapes: dict[str, tuple[int, ...]] = {"fc.weight": (1008, 2048), "fc.bias": (1008,)}
    for entry in CONVOLUTIONS.split(","):
        name, sizes = entry.split()
        shape = tuple(map(int, sizes.split("x")))
        shapes[f"{name}.conv.weight"] = shape
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.bn.{part}"] = shape[:1]
    return shapes


@functools.cache
def random_network() -> Inception:
    """Return a network with fixed random weights of He's variance."""
    network = Inception().eval().requires_grad_(False)
    for number, module in enumerate(network.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):
            index = torch.arange(module.weight.numel())
            draws = normal(0, Stream.CLASSIFIER, number, index, 1).view(module.weight.shape)
            module.weight.copy_(draws * (2 / module.weight[0].numel()) ** 0.5)
            if module.bias is not None:
                module.bias.fill_(1.0)
    return network


def test_names_and_shapes_are_the_checkpoints() -> None:
    ours = {
        name: tuple(tensor.shape)
        for name, tensor in Inception().state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    assert ours == checkpoint_shapes()
    # Upper bound from the file's 95,628,359 bytes without names and headers:
    floats = sum(torch.Size(shape).numel() for shape in ours.values())
    assert floats == 23_885_392
    assert 0 < 95_628_359 - 4 * floats < 200_000


def test_output_for_random_weights_is_pinned() -> None:
    images = (normal(1, Stream.CLASSIFIER, 0, torch.arange(2), 3 * 20 * 24) * 60 + 128).clamp(
        0, 255
    )
    features, logits = random_network()(images.round().to(torch.uint8).view(2, 3, 20, 24))
    assert features.shape == (2, 2048)
    assert logits.shape == (2, 1008)
    got = [*features[0, :3].tolist(), float(features.mean()), float(logits[1].std())]
    assert got == pytest.approx(PINNED, rel=1e-4)


PINNED = [0.286991, 0.000000, 0.421244, 0.264434, 0.622677]
"""torch-fidelity 0.4.0 gives the same features for the same weights and images, to 1e-6."""


def test_logits_have_no_bias() -> None:
    """As in the Inception score's own program, and in torch-fidelity (logits_unbiased)."""
    network = random_network()
    features, logits = network(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
    torch.testing.assert_close(logits, features @ network.fc.weight.T)
    assert float(network.fc.bias.mean()) == 1


def test_grey_images_count_as_colour() -> None:
    grey = torch.arange(32 * 32, dtype=torch.uint8).view(1, 1, 32, 32)
    one, other = random_network()(grey), random_network()(grey.expand(1, 3, 32, 32))
    assert torch.equal(one[0], other[0])


# TensorFlow 1's resize


def test_resize_by_hand() -> None:
    """2 -> 5 pixels: output i reads at 0.4 i; pixel 1 is repeated beyond it."""
    image = torch.tensor([[[[0.0, 10.0], [100.0, 110.0]]]])
    line = [0.0, 4.0, 8.0, 10.0, 10.0]
    expected = [[10 * y + x for x in line] for y in line]
    torch.testing.assert_close(tf1_bilinear(image, 5), torch.tensor([[expected]]))


def test_resize_downwards_by_hand() -> None:
    """5 -> 2: output 1 reads at 2.5, between pixels 2 and 3; nothing is averaged."""
    image = torch.arange(25.0).view(1, 1, 5, 5)
    expected = [[0.0, 2.5], [12.5, 15.0]]
    torch.testing.assert_close(tf1_bilinear(image, 2), torch.tensor([[expected]]))


def test_resize_pixel_by_pixel() -> None:
    """TensorFlow's formula for every output pixel, for sides that differ."""
    image = torch.rand(1, 1, 7, 4, generator=torch.Generator().manual_seed(0)).double()
    got = tf1_bilinear(image, 11)
    for i in range(11):
        for j in range(11):
            y, x = i * 7 / 11, j * 4 / 11
            top, left = int(y), int(x)
            bottom, right = min(top + 1, 6), min(left + 1, 3)
            a, b = image[0, 0, top, left], image[0, 0, top, right]
            c, d = image[0, 0, bottom, left], image[0, 0, bottom, right]
            upper, lower = a + (b - a) * (x - left), c + (d - c) * (x - left)
            assert float(got[0, 0, i, j]) == pytest.approx(
                float(upper + (lower - upper) * (y - top))
            )


def test_resize_to_the_same_size_changes_nothing() -> None:
    image = torch.rand(1, 3, 299, 299)
    assert torch.equal(tf1_bilinear(image), image)


# The weights' file


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Serve random weights under the release's name, and expect their hash."""
    folder = tmp_path / "release"
    folder.mkdir()
    file = folder / inception_weights.FILE
    saved = random_network().state_dict()
    saved = {k: v for k, v in saved.items() if not k.endswith("num_batches_tracked")}
    torch.save(saved, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(inception_weights, "SHA256", digest)
        url = f"http://127.0.0.1:{server.server_port}/{file.name}"
        monkeypatch.setattr(inception_weights, "URL", url)
        yield file
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


def same_weights(network: Inception) -> bool:
    return torch.equal(network.fc.weight, random_network().fc.weight)


def test_weights_are_downloaded_once(release: Path, tmp_path: Path) -> None:
    assert same_weights(inception_weights.load_inception("", tmp_path / "cache"))
    release.unlink()
    assert same_weights(inception_weights.load_inception("", tmp_path / "cache"))


def test_damaged_weights_of_the_cache_are_downloaded_again(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inception_weights.load_inception("", tmp_path / "cache")
    file = tmp_path / "cache" / inception_weights.FILE
    file.write_bytes(b"damaged")
    assert same_weights(inception_weights.load_inception("", tmp_path / "cache"))
    assert f"{file} is damaged; it is downloaded again" in capsys.readouterr().err


def test_a_local_file(release: Path, tmp_path: Path) -> None:
    network = inception_weights.load_inception(str(release), tmp_path / "cache")
    assert same_weights(network)
    assert not network.training
    assert not (tmp_path / "cache").exists()


def test_a_different_file_is_refused_and_deleted(release: Path, tmp_path: Path) -> None:
    release.write_bytes(release.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"its SHA-256 is .*; download it again from http"):
        inception_weights.load_inception(str(release), tmp_path)
    with pytest.raises(UserError, match=r"cannot download the Inception weights .*invalid hash"):
        inception_weights.load_inception("", tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.pth*[!k]"))


def test_without_a_network_both_remedies_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inception_weights, "URL", "http://127.0.0.1:9/weights.pth")
    with pytest.raises(UserError) as error:
        inception_weights.load_inception("", tmp_path)
    assert "--weights PATH" in str(error.value)
    assert "--features classifier" in str(error.value)
    with pytest.raises(UserError, match=r"cannot read the Inception weights .*no-such.pth"):
        inception_weights.load_inception(str(tmp_path / "no-such.pth"), tmp_path)
