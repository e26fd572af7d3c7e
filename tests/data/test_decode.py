import io

import numpy as np
import pytest
from PIL import Image

from d3gan.data.decode import decode_all, open_image, to_array
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
    images = np.zeros((7, 1, 16, 16), np.uint8)
    labels, numbers, resized, broken = decode_all(items, images, title="decoding", workers=3)
    assert labels.tolist() == [0, 4]
    assert numbers.tolist() == [0, 4]
    assert resized.tolist() == [False, False]
    assert (images[:2] == 7).all()
    assert [line.partition(":")[0] for line in broken] == [
        "cut.png", "text.png", "empty.png", "c.png", "float.tiff",
    ]  # fmt: skip
    assert broken[1] == "text.png: not an image"
    assert "Permission denied" in broken[3]
    assert "convert it to 8 or 16 bits" in broken[4]


def png_float() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.float32)).save(stream, "TIFF")
    return stream.getvalue()
