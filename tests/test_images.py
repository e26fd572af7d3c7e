from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from d3gan.images import GAP, enlarged, grid, save_picture, to_picture


def test_a_grid_shows_every_image_row_by_row() -> None:
    images = (
        np.zeros((5, 3, 4, 6), np.uint8) + np.arange(5, dtype=np.uint8)[:, None, None, None] * 50
    )
    sheet = np.asarray(grid(images))
    assert sheet.shape == (2 * (4 + GAP) + GAP, 3 * (6 + GAP) + GAP, 3)
    for number in range(5):
        top, left = GAP + number // 3 * (4 + GAP), GAP + number % 3 * (6 + GAP)
        assert (sheet[top : top + 4, left : left + 6] == 50 * number).all()
    assert np.asarray(grid(images, columns=5)).shape[0] == 4 + 2 * GAP


def test_grey_stays_grey() -> None:
    assert grid(np.zeros((2, 1, 4, 4), np.uint8)).mode == "L"
    assert to_picture(np.zeros((1, 4, 4), np.uint8)).mode == "L"
    assert to_picture(np.zeros((3, 4, 4), np.uint8)).mode == "RGB"


def test_enlarging_repeats_pixels() -> None:
    small = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40), np.uint8))
    large = np.asarray(enlarged(small, least=480))
    assert large.shape == (480, 640)
    assert np.array_equal(large[::16, ::16], np.asarray(small))


def test_a_picture_is_written_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.png"
    save_picture(Image.new("L", (4, 4), 7), file)
    before = file.read_bytes()

    def fail(self: Path, target: Path) -> None:
        assert self.stat().st_size > 0
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        save_picture(Image.new("L", (4, 4), 8), file)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]
