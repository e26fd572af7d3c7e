"""The model card of a generator on the hub, without a hub."""

import re
from pathlib import Path
from typing import Any

import torch
from tests.hub_server import metadata_errors

import d3gan
from d3gan import config as configs
from d3gan.config import Config
from d3gan.report.model_card import Published, model_card
from d3gan.training.trainer import train


def test_fid_is_named_only_for_inception_features(measured: Config) -> None:
    protocol = {
        "features": "inception", "generated_images": 50_000, "real_images": 50_000,
        "real_source": "cifar10", "real_split": "train", "real_revision": None, "resolution": 32,
    }  # fmt: skip
    row = {"protocol": protocol, "fid": 7.5, "fid_stderr": 0.1, "is": 8.0, "is_stderr": 0.2}
    card = model_card(Published("owner/name", measured, 8, 0, "uoft-cs/cifar10", row, ""))
    (fid, inception_score) = card.data.eval_results
    assert fid.metric_name == (
        "Fréchet Inception distance (2015 Inception features, 50,000 generated and 50,000 real "
        "images of cifar10 train, 32 x 32)"
    )
    assert (fid.metric_type, inception_score.metric_type) == ("fid", "is")
    assert (fid.dataset_type, card.data.datasets) == ("uoft-cs/cifar10", ["uoft-cs/cifar10"])
    assert "| 7.50 ± 0.10 | lower |" in card.text
    assert "None of them is the Fréchet Inception distance" not in card.text


def test_a_generator_without_evaluation_has_a_card(tiny: Config) -> None:
    card = model_card(Published("owner/name", tiny, 10, 0, None, None, ""))
    assert "This checkpoint was not evaluated." in card.text
    assert not metadata_errors(str(card))
    assert "model-index" not in str(card)


def test_the_card_names_networks_and_views_of_discriminators(tiny: Config) -> None:
    gan = {"members": ["dcgan(stages=1)", "dcgan"], "views": ["full"], "penalties": ["r1", "r2"]}
    config = configs.from_dict({"gan": gan}, tiny)
    text = model_card(Published("owner/name", config, 10, 0, None, None, "")).text
    table = text[text.index("## Training") : text.index("`config.toml`")]
    assert "| their networks | `dcgan(stages=1)`, `dcgan` |\n| their views | `full` |\n" in table
    assert "| penalties | `r1`, `r2` |\n| augmentations | none |\n" in table
    assert "\n\n|" not in table.partition("|---|---|")[2], "one table"


def test_the_card_rebuilds_a_dcgan_without_d3gan(tiny: Config, tmp_path: Path) -> None:
    """By the lines of docs/python.md, which tests/api/test_documentation.py runs."""
    config = configs.from_dict({"model": {"generator_norm": "batch"}}, tiny)
    trained = d3gan.load(train(config).path)
    text = model_card(Published("owner/name", config, 10, 0, None, None, "")).text
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[-1]
    download = 'hf_hub_download("owner/name", "model.safetensors")'
    page = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
    local = code.replace("from huggingface_hub import hf_hub_download\n", "")
    assert local.replace(download, '"generator.safetensors"') in page
    trained.save(tmp_path / "g.safetensors")
    names: dict[str, Any] = {}
    exec(local.replace(download, repr(str(tmp_path / "g.safetensors"))), names)
    z = trained.latents(3).float()
    images = names["generator"](z[:, :, None, None])
    torch.testing.assert_close(images, trained(z), atol=1e-6, rtol=0)


def test_a_card_has_no_lines_for_networks_that_they_do_not_rebuild(tiny: Config) -> None:
    for model, classes in (
        ({"generator_norm": "group"}, 0),
        ({"generator_norm": "batch", "conditional": True}, 4),
        ({"generator_norm": "batch", "architecture": "dcgan(activation='mish')"}, 0),
        ({"generator_norm": "batch", "architecture": "r3gan"}, 0),
    ):
        config = configs.from_dict({"model": model}, tiny)
        card = model_card(Published("owner/name", config, 10, classes, None, None, ""))
        assert "Without d3gan" not in card.text
