import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from tests.program import run_code, written

from d3gan.cli.main import main
from d3gan.config import Config
from d3gan.training.export import read_export, safetensors_bytes
from d3gan.training.inference import load
from d3gan.training.trainer import train

EXPORT = """
import sys
from pathlib import Path
from d3gan.config_files import load_file
from d3gan.training.build import build_generator
from d3gan.training.export import safetensors_bytes
config = load_file(Path(sys.argv[1]))
sys.stdout.buffer.write(safetensors_bytes(build_generator(config), config, 5, 0))
"""


@pytest.mark.slow
def test_exports_of_two_processes_are_the_same_bytes(tiny: Config, tmp_path: Path) -> None:
    """Python's and Rust's hash tables have another order in each process."""
    file = written(tiny, tmp_path)
    files = [
        subprocess.run(
            [sys.executable, "-c", EXPORT, str(file)], capture_output=True, check=True, timeout=120
        ).stdout
        for _ in range(2)
    ]
    assert files[0] == files[1]
    (tmp_path / "g.safetensors").write_bytes(files[0])
    exported = read_export(tmp_path / "g.safetensors")
    assert (exported.config, exported.step, exported.classes) == (tiny, 5, 0)
    length = int.from_bytes(files[0][:8], "little")
    assert length % 8 == 0
    header = json.loads(files[0][8 : 8 + length])
    assert list(header["__metadata__"]) == ["classes", "d3gan", "step"]


def test_the_header_is_sorted_without_changing_the_weights(tiny: Config, tmp_path: Path) -> None:
    trained = load(train(tiny).path)
    file = tmp_path / "g.safetensors"
    file.write_bytes(safetensors_bytes(trained.generator, tiny, trained.step, 0))
    again = load(file)
    weights = trained.generator.state_dict()
    assert all(torch.equal(x, weights[name]) for name, x in again.generator.state_dict().items())


def test_an_onnx_export_is_silent_and_names_no_file_of_this_machine(
    tiny: Config, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = train(tiny)
    capfd.readouterr()
    files = [tmp_path / "1.onnx", tmp_path / "2.onnx"]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        for file in files:
            assert main(["export", str(run.path), "-o", str(file)]) == 0
    output = capfd.readouterr()
    assert output.err == ""
    assert len(output.out.splitlines()) == 2
    assert files[0].read_bytes() == files[1].read_bytes()
    assert str(Path(torch.__file__).parent).encode() not in files[0].read_bytes()
    assert b".py" not in files[0].read_bytes()


WITHOUT_ONNX = """
import sys
sys.modules["onnxscript"] = None
import importlib.metadata
version = importlib.metadata.version
def without(name):
    if name == "onnxscript":
        raise importlib.metadata.PackageNotFoundError(name)
    return version(name)
importlib.metadata.version = without
from d3gan.cli.main import main
status = main(["export", "nowhere", "-o", "g.onnx"])
assert "torch" not in sys.modules
sys.exit(status)
"""


def test_a_missing_extra_is_named_before_anything_is_loaded() -> None:
    ended = run_code(WITHOUT_ONNX)
    assert ended.returncode == 2, ended
    assert ended.stderr == (
        "d3gan: error: ONNX export needs onnxscript 0.5 or newer, and it is not installed: "
        "pip install 'd3gan[onnx]'\n"
    )
