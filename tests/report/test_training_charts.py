"""Loss curves from rows at irregular distances."""

import json
from pathlib import Path

import numpy as np

from d3gan.report.training_charts import method_losses
from d3gan.runs import RunFolder


def run(folder: Path, rows: list[tuple[int, float]]) -> RunFolder:
    """Write rows (images, loss_g); the losses of the discriminators are 1 and 2 lower."""
    folder.mkdir()
    lines = [
        {"kind": "train", "step": x, "images": x, "loss_g": g, "loss_d": [g - 1, g - 2]}
        for x, g in rows
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text, encoding="utf-8")
    return RunFolder(folder)


def test_irregular_rows_leave_no_gap(tmp_path: Path) -> None:
    found = method_losses([run(tmp_path / "a", [(x, 3.0) for x in (100, 110, 200, 201, 300, 400)])])
    assert found
    assert np.allclose(found.generator, 3)
    assert np.allclose(found.discriminators, [2, 1])
    assert found.images[-1] == 400


def test_a_row_is_weighted_by_its_images(tmp_path: Path) -> None:
    found = method_losses([run(tmp_path / "a", [(30, 1.0), (40, 5.0)])])
    assert found
    # 0 to 20: the first row alone; 20 to 40: half of each
    assert found.images.tolist() == [20, 40]
    assert np.allclose(found.generator, [[1, 3]])


def test_a_run_that_ended_early_has_no_losses_after_that(tmp_path: Path) -> None:
    long = run(tmp_path / "long", [(10, 1.0), (20, 1.0), (30, 1.0), (40, 1.0)])
    short = run(tmp_path / "short", [(10, 2.0), (20, 2.0)])
    found = method_losses([long, short])
    assert found
    assert np.allclose(found.generator[0], 1)
    assert np.allclose(found.generator[1, :2], 2)
    assert np.isnan(found.generator[1, 2:]).all()


def test_no_rows_no_losses(tmp_path: Path) -> None:
    assert method_losses([run(tmp_path / "a", [])]) is None
