"""The benchmark of how images reach the training loop."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.program import written

from d3gan.bench import data as feeding
from d3gan.cli.main import main
from d3gan.config import Config
from d3gan.data.cache import load_images
from d3gan.data.loader import Prepared, Streamed

CPU = torch.device("cpu")


def test_all_feeds_are_measured_and_printed(tiny: Config, tmp_path: Path, capsys: Any) -> None:
    file, result = written(tiny, tmp_path), tmp_path / "data.json"
    few = ["--batch-size", "8", "--steps", "2", "--warm-up", "1", "--rounds", "2"]
    assert main(["bench", "data", "--preset", str(file), *few, "--json", str(result)]) == 0
    rows = json.loads(result.read_text())["rows"]
    assert [row["feed"] for row in rows] == ["resident", "streamed", "dataloader"]
    for row in rows:
        assert 0 < row["waiting_ms_low"] <= row["waiting_ms"] <= row["waiting_ms_high"]
        assert row["images_per_second_alone"] > 0
    assert rows[0]["step_ratio_to_resident"] == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all(len(line) <= 80 for line in lines)


def test_waiting_for_images_is_measured(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare = Streamed.prepare

    def slow(self: Streamed, number: int) -> Prepared:
        time.sleep(0.1)
        return prepare(self, number)

    monkeypatch.setattr(Streamed, "prepare", slow)
    rows = feeding.measure(tiny, load_images(tiny.data), CPU, steps=2, warm_up=1, rounds=2)
    resident, streamed, _ = rows
    assert streamed["waiting_ms"] > 100 > resident["waiting_ms"]
    assert streamed["waiting_share"] > 0.5
    assert streamed["images_per_second_alone"] < 8 / 0.1
    assert streamed["step_ratio_to_resident"] > 1


def test_more_images_than_there_are(tiny: Config, tmp_path: Path, capsys: Any) -> None:
    file = written(tiny, tmp_path)
    assert main(["bench", "data", "--preset", str(file), "--batch-size", "41"]) == 2
    assert "batch_size = 41" in capsys.readouterr().err
