"""A script that trains from Python, started by torchrun."""

import sys
from pathlib import Path

import pytest
from tests.program import finish, start_process

import d3gan
from d3gan.config import Config, to_toml

SCRIPT = """
import sys, d3gan

def stop(progress):
    print("told", progress.step, flush=True)
    if progress.step >= 5:
        progress.stop()

def fail(progress):
    raise ValueError("no more colours")

d3gan.train(sys.argv[1], {"name": "stopped"}, callback=stop)
try:
    d3gan.train(sys.argv[1], {"name": "failed"}, callback=fail)
except Exception as error:
    print("raised", type(error).__name__, flush=True)
"""


@pytest.mark.slow
def test_a_callback_of_the_main_process_stops_all_of_them(tiny: Config, tmp_path: Path) -> None:
    script, config = tmp_path / "script.py", tmp_path / "tiny.toml"
    script.write_text(SCRIPT, encoding="utf-8")
    config.write_text(to_toml(tiny), encoding="utf-8")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    ended = finish(start_process([*launcher, "--nproc-per-node=2", script, config]), timeout=200)
    assert ended.returncode == 0, ended
    assert ended.stdout.count("told") == 2, ended  # at steps 3 and 5, once each
    assert sorted(line for line in ended.stdout.splitlines() if "raised" in line) == [
        "raised UserError",
        "raised ValueError",
    ]
    for name, state, step in (("stopped", "stopped_early", 5), ("failed", "failed", 3)):
        run = d3gan.Run(Path(tiny.out_dir) / name)
        assert (run.status.state, run.status.step, run.checkpoints) == (state, step, [step])
