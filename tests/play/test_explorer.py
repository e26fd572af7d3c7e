"""What the page of `d3gan play` shows, without a browser."""

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import d3gan
from d3gan import config as configs
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.images import Pictures, to_picture
from d3gan.play.explorer import SHEET, WALK, Checkpoint, Explorer, View
from d3gan.play.figures import captioned, figure, heading, view_of
from d3gan.runs import RunFolder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A conditional run with checkpoints of steps 5, 10 and 15."""
    here = tmp_path_factory.mktemp("play")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 16, 16, 3), np.uint8)
    np.savez(here / "noise.npz", images=images, labels=np.arange(40) % 4)
    narrow = {"generator_width": 4, "discriminator_width": 4, "generator_norm": "group"}
    config = configs.from_dict(
        {
            "name": "run",
            "out_dir": str(here),
            "data": {"source": str(here / "noise.npz"), "resolution": 16},
            "model": {"latent_dim": 8, "discriminator_norm": "group", "conditional": True} | narrow,
            "train": {"batch_size": 8, "epochs": 3.0},
            "checkpoint": {"every_epochs": 1.0},
        }
    )
    d3gan.train(config)
    return here / "run"


@pytest.fixture(scope="module")
def explorer(folder: Path) -> Explorer:
    return Explorer(folder)


def close(pictures: Sequence[Image.Image], images: Pictures) -> bool:
    """Return whether pictures are the images but for rounding, which depends on the batch."""
    differences = np.stack(pictures).astype(int) - images
    return bool(abs(differences).max() <= 1)


def test_images_are_those_of_sample(explorer: Explorer, folder: Path) -> None:
    trained = d3gan.load(folder)
    shown = explorer.show(View(checkpoint=2, seed=3, label=1))
    assert close([shown.image], trained.sample(1, 3, 1))
    assert close(shown.sheet, trained.sample(SHEET, 3, 1))
    assert len(shown.walk) == WALK
    assert close(shown.walk[:1], trained.sample(1, 3, 1))


def test_every_control_changes_the_picture(explorer: Explorer) -> None:
    start = View(checkpoint=2, label=0, offsets=(0.0, 0.0))
    before = explorer.show(start).image.tobytes()
    for change in (
        {"checkpoint": 0},
        {"seed": 7},
        {"position": 0.5},
        {"label": 2},
        {"offsets": (2.0, 0.0)},
        {"offsets": (0.0, -2.0)},
    ):
        assert explorer.show(replace(start, **change)).image.tobytes() != before, change
    assert explorer.show(replace(start, other_seed=9)).image.tobytes() == before
    assert explorer.show(start).image.tobytes() == before


def test_the_walk_ends_at_the_other_seed(explorer: Explorer) -> None:
    end = explorer.show(View(seed=3, other_seed=5, position=1.0, label=0)).image
    there = explorer.show(View(seed=5, label=0)).image
    assert close([end], np.asarray(there)[None])
    same = explorer.show(View(seed=3, other_seed=3, position=0.5, label=0)).image
    assert same.tobytes() == explorer.show(View(seed=3, label=0)).image.tobytes()


def test_checkpoints_are_in_order_of_time(folder: Path, explorer: Explorer) -> None:
    assert [checkpoint.step for checkpoint in explorer.checkpoints] == [5, 10, 15]
    assert Checkpoint("best", 1234, best=True).text == "step 1,234 (best)"
    assert Checkpoint("last", None).text == "export"


def test_the_best_checkpoint_has_its_place(measured: Config, quick_classifier: None) -> None:
    run = RunFolder(Path(d3gan.train(measured)))
    found = Explorer(run.path).checkpoints
    assert [c.best for c in found].count(True) == 1
    steps = [c.step for c in found]
    assert steps == sorted(steps, key=lambda step: step or 0)


def test_broken_checkpoints_are_left_out(tiny: Config, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = configs.from_dict({"checkpoint": {"every_epochs": 1.0}}, tiny)
    run = RunFolder(Path(d3gan.train(tiny)))
    newest = run.checkpoint_file(10)
    newest.write_bytes(newest.read_bytes()[:1000])
    assert [c.step for c in Explorer(run.path).checkpoints] == [5]
    assert "broken checkpoint" in capsys.readouterr().err
    run.checkpoint_file(5).write_bytes(b"")
    with pytest.raises(UserError, match="broken"):
        Explorer(run.path)


def test_an_export_has_one_checkpoint(folder: Path, tmp_path: Path) -> None:
    d3gan.load(folder).save(tmp_path / "g.safetensors")
    explorer = Explorer(tmp_path / "g.safetensors")
    assert [checkpoint.text for checkpoint in explorer.checkpoints] == ["export"]
    assert "&middot; export &middot;" in heading(explorer, "g.safetensors")
    image = explorer.show(View(checkpoint=0, seed=3, label=1)).image
    assert image.tobytes() == Explorer(folder).show(View(2, seed=3, label=1)).image.tobytes()


def test_a_run_without_checkpoints_is_one_line(tmp_path: Path, tiny: Config) -> None:
    RunFolder(tmp_path / "run").begin(configs.to_toml(tiny), {})
    with pytest.raises(UserError, match="no checkpoint yet"):
        Explorer(tmp_path / "run")


def test_values_of_the_controls() -> None:
    assert view_of(3.0, 3.0, 4.0, 0.25, "any", (1, 0.5)) == View(2, 3, 4, 0.25, None, (1.0, 0.5))
    assert view_of(1, 0, 1, 0, "7", ()).label == 7


def test_captions_and_heading(explorer: Explorer) -> None:
    view = View(checkpoint=1, seed=3, label=2)
    image, walk, sheet = captioned(explorer.show(view), view, explorer)
    assert "Seed 3, class 2, step 10</figcaption>" in image
    assert "From seed 3 to seed 1" in walk
    assert "More images of seed 3, class 2" in sheet
    assert [text.count("<img ") for text in (image, walk, sheet)] == [1, WALK, SHEET]
    between = replace(view, position=0.25)
    assert (
        "25% from seed 3 to seed 1, class 2, step 10"
        in captioned(explorer.show(between), between, explorer)[0]
    )
    text = heading(explorer, "<run>")
    assert "<h1>&lt;run&gt;</h1>" in text
    assert "16 &times; 16 pixels, colour &middot; 4 classes &middot; newest: step 15" in text


def test_pictures_are_in_the_page_itself() -> None:
    pixels = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    text = figure([to_picture(pixels)] * 2, 'a "b" <c>', "walk")
    assert "<figcaption>a &quot;b&quot; &lt;c&gt;</figcaption>" in text
    urls = re.findall(r'src="data:image/png;base64,([\w+/=]+)"', text)
    assert len(urls) == 2
    picture = Image.open(io.BytesIO(base64.b64decode(urls[0])))
    assert np.array_equal(np.asarray(picture), pixels[0])
