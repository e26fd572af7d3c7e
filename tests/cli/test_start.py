"""Commands that compute nothing do not import torch, which takes seconds."""

import subprocess
import sys
from pathlib import Path

COMMANDS = """
0 --help
0 --version
0 presets
0 train --help
0 train mnist-d3gan --help
0 sample --help
0 export --help
0 demo --help
0 push --help
0 cite
0 cite --format apa
0 data list
0 cache
0 cache clear --help
2 cache claer
0 report --help
0 evaluate --help
0 compare --help
0 bench --help
0 completion --help
0 play --help
2 play no/such/run
2 play no/such/run --port 70000
2 trian mnist-d3gan
2 train
2 train mnist-d3gna
2 train mnist-d3gan --gan.discriminatrs 2
2 train mnist-d3gan --gan.aggregation softmx
2 train mnist-d3gan --gan.aggregation softmax(temp=1)
2 train mnist-d3gan --gan.objective hinge --gan.aggregation hypervolume
2 train mnist-d3gan --gan.penalties r1(gama=1)
2 train mnist-d3gan --gan.r1-gamma -1
2 train mnist-d3gan --optim.lr-g 0
2 train mnist-d3gan --optim.schedule no_such_module:Schedule
2 train mnist-d3gan --eval.metrics fid
2 train mnist-d3gan --processes 0
2 sample x -n 0
2 sample no/such/run
2 export no/such/run -o g.safetensors
2 evaluate x --resolution 4
2 compare --methods nope
2 compare --methods demo-dcgan --gan.n 3
2 data show digts
2 demo --epochs -1
2 report no/such/run
2 push no/such/run owner/name
2 train mnist-d3gan --train.loggers tensorbord
"""

PROGRAM = """
import contextlib, io, sys
from d3gan.cli.main import main
for line in sys.stdin.read().split("\\n"):
    expected, *arguments = line.split()
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            status = main(arguments)
        except SystemExit as end:
            status = end.code or 0
    assert "torch" not in sys.modules, line
    assert status == int(expected), (line, said.getvalue())
print("done")
"""


def test_commands_that_compute_nothing_do_not_import_torch(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=COMMANDS.strip(), cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr
    assert list(tmp_path.iterdir()) == []
