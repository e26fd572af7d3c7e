"""Commands that compute nothing do not import torch, which takes seconds."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from d3gan.cli.main import main
try:
    status = main(sys.argv[1:])
except SystemExit as end:
    status = end.code or 0
print("torch" in sys.modules, status)
"""


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ("--help", 0),
        ("--version", 0),
        ("presets", 0),
        ("train --help", 0),
        ("train mnist-d3gan --help", 0),
        ("sample --help", 0),
        ("export --help", 0),
        ("demo --help", 0),
        ("data list", 0),
        ("report --help", 0),
        ("trian mnist-d3gan", 2),
        ("train", 2),
        ("train mnist-d3gna", 2),
        ("train mnist-d3gan --gan.discriminatrs 2", 2),
        ("train mnist-d3gan --gan.aggregation softmx", 2),
        ("train mnist-d3gan --gan.aggregation softmax(temp=1)", 2),
        ("train mnist-d3gan --gan.objective hinge --gan.aggregation hypervolume", 2),
        ("train mnist-d3gan --gan.penalties r1(gama=1)", 2),
        ("train mnist-d3gan --gan.r1-gamma -1", 2),
        ("train mnist-d3gan --optim.lr-g 0", 2),
        ("train mnist-d3gan --eval.metrics fid", 2),
        ("train mnist-d3gan --processes 0", 2),
        ("sample x -n 0", 2),
        ("sample no/such/run", 2),
        ("export no/such/run -o g.safetensors", 2),
        ("demo --epochs -1", 2),
        ("report no/such/run", 2),
    ],
)
def test_torch_is_not_imported(arguments: str, status: int, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments.split()],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert result.stdout.splitlines()[-1] == f"False {status}", result.stderr
