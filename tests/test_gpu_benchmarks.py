"""The script that makes the figures of CUDA runs, in tiny sizes, on a CPU."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.program import finish, start_process

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_all_parts_run_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("PYTEST_"):
            monkeypatch.delenv(name)
    process = start_process(
        ["bash", ROOT / "benchmarks" / "gpu.sh", "--device", "cpu"],
        OUT=str(tmp_path),
        PYTHON=sys.executable,
    )
    ended = finish(process, timeout=280)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = {file.stem: json.loads(file.read_text()) for file in tmp_path.glob("*.json")}
    assert set(found) == {"environment", "step-fp32", "step-bf16", "step-tf32", "data", "scaling"}
    assert "noise" in found["environment"]["images"]
    for name in ("fp32", "bf16", "tf32"):
        own = [row for row in found[f"step-{name}"]["rows"] if row["engine"] == "d3gan"]
        assert {row["precision"] for row in own} == {name}
        assert all(row["images_per_second"] > 0 for row in own)
    assert "no CUDA device here" in (tmp_path / "tests.log").read_text() or "passed" in ended.stdout
