import numpy as np
from PIL import Image

from d3gan.images import grid
from d3gan.report.pictures import corner, side_by_side


def test_sheets_are_arranged_in_rows_under_a_heading() -> None:
    sheets = [Image.new("L", (40, 30), 10 * i) for i in range(1, 6)]
    plain = side_by_side(sheets, [""] * 5, columns=2)
    headed = side_by_side(sheets, ["a caption much longer than its sheet is wide"] * 5, columns=2,
                          heading="1,000 images")  # fmt: skip
    assert headed.width == plain.width < 3 * 40
    assert headed.height > plain.height > 3 * 30
    for i in range(1, 6):
        assert (np.asarray(headed) == 10 * i).sum() >= 40 * 30


def test_the_corner_of_a_grid_has_complete_images() -> None:
    sheet = grid(np.zeros((12, 1, 6, 6), np.uint8))  # 4 across, 3 down
    assert corner(sheet, 6, 2).size == (18, 18)
    assert corner(sheet, 6, 8).size == sheet.size
    assert corner(sheet, 100, 2).size == sheet.size


def test_sheets_are_side_by_side_under_their_captions() -> None:
    sheets = [Image.new("L", (40, 30), value) for value in (10, 90)]
    page = np.asarray(side_by_side(sheets, ["a", "b"]))
    for value in (10, 90):
        rows, columns = np.nonzero(page == value)
        assert len(rows) >= 40 * 30
        assert columns.max() - columns.min() + 1 >= 40
    assert page[:20].min() < 128, "there is text"
    colour = side_by_side([Image.new("RGB", (4, 4)), Image.new("L", (4, 4))], ["a", "b"])
    assert colour.mode == "RGB"
