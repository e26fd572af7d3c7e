"""The Python code of docs/python.md runs, with smaller presets and otherwise word by word."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import d3gan
from d3gan import config as configs
from d3gan import config_files
from d3gan.config import Config
from d3gan.training.build import build_generator

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
WITHOUT_D3GAN = next(block for block in BLOCKS if "load_file" in block)
COMPARING = [block for block in BLOCKS if "d3gan.compare(" in block]
USUAL = [block for block in BLOCKS if block not in (WITHOUT_D3GAN, *COMPARING)]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_classifier: None) -> None:
    """Work in an empty folder, with presets that are small."""
    load_preset = config_files.load_preset

    def small_preset(name: str) -> Config:
        changes = {
            "model": {"generator_width": 4, "discriminator_width": 8},
            "eval": {"samples": 300, "every_epochs": 0.5, "metrics": ["fd", "recall"]},
            "data": {"limit": 320},
        }
        return configs.from_dict(changes, load_preset(name))

    monkeypatch.setattr(config_files, "load_preset", small_preset)
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_the_page_runs(small: None, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    assert len(USUAL) >= 6
    for block in USUAL:
        exec(block, names)
    assert names["images"].shape == (64, 32, 32, 3)
    assert names["z"].grad.abs().max() > 0
    assert 0 <= names["found"]["recall"] <= 1
    assert names["run"].status.state == "stopped_early"
    assert Path("grid.png").is_file()
    printed = capsys.readouterr().out
    assert "finished 30 runs" in printed
    assert re.search(r"^30 \d+ \d", printed, flags=re.MULTILINE)


@pytest.mark.slow
def test_comparing_runs(small: None, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = COMPARING
    exec(block, {"d3gan": d3gan})
    assert "demo-dcgan" in capsys.readouterr().out
    assert Path("comparison.html").is_file()


def test_an_export_needs_no_d3gan(tmp_path: Path) -> None:
    """The same images, in a process in which d3gan cannot be imported."""
    assert len([line for line in WITHOUT_D3GAN.splitlines() if line]) <= 15
    config = config_files.load_preset("demo-d3gan")
    network = build_generator(config)
    for i, tensor in enumerate(network.state_dict().values()):  # batch norm's statistics too
        if tensor.is_floating_point():
            generator = torch.Generator().manual_seed(i)
            noise = torch.randn(tensor.shape, generator=generator)
            tensor.copy_(0.1 * noise if tensor.ndim == 4 else 1 + 0.1 * noise)
    g = d3gan.TrainedGenerator(config, network.eval(), step=1)
    g.save(tmp_path / "generator.safetensors")
    program = "\n".join(
        (
            "import sys",
            "sys.modules['d3gan'] = None",
            WITHOUT_D3GAN,
            "z = torch.load('z.pt')",
            "torch.save(generator(z[:, :, None, None]), 'images.pt')",
        )
    )
    z = torch.randn(5, g.latent_dim)
    torch.save(z, tmp_path / "z.pt")
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=120)
    images = torch.load(tmp_path / "images.pt")
    assert images.std() > 0.01
    torch.testing.assert_close(images, g(z), atol=1e-6, rtol=0)
