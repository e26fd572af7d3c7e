import io
import threading
import time

import numpy as np
import pytest
from PIL import Image

from d3gan.data import decode
from d3gan.data.decode import decode_all, has_colour, open_image, to_array
from d3gan.data.source import Item


def png(picture: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG", **options)
    return stream.getvalue()


def decoded(picture: Image.Image, resolution: int = 16, channels: int = 3) -> np.ndarray:
    return to_array(open_image(png(picture)), resolution, channels)


def test_pixels_are_kept_when_the_size_fits() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    assert np.array_equal(decoded(Image.fromarray(pixels)), pixels.transpose(2, 0, 1))
    grey = pixels[:, :, 0]
    assert np.array_equal(decoded(Image.fromarray(grey), channels=1), grey[None])
    assert np.array_equal(decoded(Image.fromarray(grey)), np.stack([grey] * 3))


def test_the_centre_is_cropped() -> None:
    pixels = np.zeros((32, 96, 3), np.uint8)
    pixels[:, 32:64] = 200
    assert (decoded(Image.fromarray(pixels)) == 200).all()
    assert decoded(Image.fromarray(pixels.transpose(1, 0, 2))).shape == (3, 16, 16)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 256).reshape(16, 16).astype(np.uint16)
    out = decoded(Image.fromarray(ramp), channels=1)[0]
    assert np.array_equal(out, np.arange(256, dtype=np.uint8).reshape(16, 16))


def test_transparency_is_composed_over_white() -> None:
    clear = Image.new("RGBA", (16, 16), (10, 20, 30, 0))
    assert (decoded(clear) == 255).all()
    half = Image.new("LA", (16, 16), (0, 128))
    assert abs(int(decoded(half, channels=1)[0, 0, 0]) - 127) <= 1
    palette = Image.new("P", (16, 16), 0)
    palette.putpalette([200, 100, 50, 0, 0, 0])
    assert decoded(palette)[:, 0, 0].tolist() == [200, 100, 50]
    transparent = to_array(open_image(png(palette, transparency=0)), 16, 3)
    assert (transparent == 255).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_strips_of_a_transparent_picture_are_joined(
    channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (37, 37, 4), np.uint8)
    whole = to_array(Image.fromarray(pixels), 37, channels)
    monkeypatch.setattr(decode, "STRIP", 10)
    assert np.array_equal(to_array(Image.fromarray(pixels), 37, channels), whole)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_is_read(mode: str, channels: int) -> None:
    grey = Image.new("L", (40, 24), 255)
    picture = (
        Image.fromarray(np.full((24, 40), 65535, np.uint16))
        if mode == "I;16"
        else grey.convert(mode)
    )
    out = to_array(picture, 16, channels)
    assert out.shape == (channels, 16, 16)
    assert out.dtype == np.uint8
    assert out.min() > 250


def test_exif_orientation_is_applied() -> None:
    picture = Image.new("RGB", (16, 16))
    picture.paste((255, 255, 255), (0, 0, 16, 8))  # the upper half
    exif = Image.Exif()
    exif[0x0112] = 3  # rotated by 180 degrees
    turned = to_array(open_image(png(picture, exif=exif)), 16, 1)[0]
    assert turned[0].max() == 0
    assert turned[15].min() == 255


def test_broken_images_are_named_and_the_others_keep_their_order() -> None:
    good = png(Image.new("L", (16, 16), 7))

    def item(name: str, data: bytes, label: int) -> Item:
        return Item(name, lambda: data, label)

    def unreadable() -> bytes:
        raise PermissionError(13, "Permission denied", "c.png")

    items = [
        item("a.png", good, 0),
        item("cut.png", good[: len(good) // 2], 1),
        item("text.png", b"no picture at all", 2),
        item("empty.png", b"", 3),
        item("b.png", good, 4),
        Item("c.png", unreadable, 5),
        item("float.tiff", png_float(), 6),
    ]
    blocks: list[np.ndarray] = []
    found = decode_all(
        items, 7, blocks.append, resolution=16, channels=1, title="decoding", workers=3
    )
    assert found.labels.tolist() == [0, 4]
    assert found.numbers.tolist() == [0, 4]
    assert found.sizes.tolist() == [[16, 16], [16, 16]]
    images = np.concatenate(blocks)
    assert images.shape == (2, 1, 16, 16)
    assert (images == 7).all()
    broken = found.broken
    assert [line.partition(":")[0] for line in broken] == [
        "cut.png", "text.png", "empty.png", "c.png", "float.tiff",
    ]  # fmt: skip
    assert broken[1] == "text.png: not an image"
    assert broken[3] == "c.png: Permission denied"
    assert "convert it to 8 or 16 bits" in broken[4]


def png_float() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.float32)).save(stream, "TIFF")
    return stream.getvalue()


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of more than 10,000 pixels are too large, as for Pillow itself."""
    monkeypatch.setattr(decode, "MOST_PIXELS", 10_000)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)


def jpeg(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(stream, "JPEG")
    return stream.getvalue()


def test_large_images_are_refused_and_large_jpegs_are_halved(small_limit: None) -> None:
    items = [
        Item("large.png", lambda: png(Image.new("L", (120, 100))), 0),
        Item("larger.png", lambda: png(Image.new("L", (200, 110))), 0),
        Item("good.png", lambda: png(Image.new("L", (100, 100))), 0),
        Item("large.jpg", lambda: jpeg(140, 100), 0),
    ]
    blocks: list[np.ndarray] = []
    found = decode_all(items, 4, blocks.append, resolution=16, channels=1, title="", workers=1)
    assert found.broken == [
        "large.png: 120 x 100 pixels; at most 10,000 are allowed",
        "larger.png: more than 20,000 pixels; make it smaller",
    ]
    assert found.sizes.tolist() == [[100, 100], [70, 50]]
    (halved,) = np.concatenate(blocks)[1:]
    with decode.silent_pillow():
        exact = to_array(Image.open(io.BytesIO(jpeg(140, 100))), 16, 1)
    assert np.abs(halved.astype(int) - exact).max() <= 3


def test_threads_decode_a_limited_number_of_pixels_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decode, "MOST_PIXELS", 2_000)
    lock, running, most = threading.Lock(), 0, 0
    original = decode.to_array

    def counted(picture: Image.Image, resolution: int, channels: int) -> np.ndarray:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        array = original(picture, resolution, channels)
        time.sleep(0.01)
        with lock:
            running -= 1
        return array

    monkeypatch.setattr(decode, "to_array", counted)
    picture = png(Image.new("L", (30, 30)))  # two of them are 1,800 pixels
    items = [Item(f"{i}.png", lambda: picture, 0) for i in range(12)]
    found = decode_all(
        items, 12, lambda images: None, resolution=16, channels=1, title="", workers=6
    )
    assert len(found.labels) == 12
    assert most <= 2


def test_colour_that_is_lost_is_noticed() -> None:
    grey = Image.linear_gradient("L")
    pictures = [
        grey,
        grey.convert("RGB"),
        grey.convert("P"),
        Image.new("RGB", (40, 40), "red"),
        Image.new("RGB", (40, 40), "red").convert("P"),
        Image.new("CMYK", (40, 40), (0, 200, 0, 0)),
        Image.new("RGB", (40, 40), (100, 104, 107)),  # of a camera's or a JPEG file's noise
    ]
    assert [has_colour(picture) for picture in pictures] == [False] * 3 + [True] * 3 + [False]
