from pathlib import Path

import pytest

from d3gan import config as configs
from d3gan.config_files import starting_point
from d3gan.config_ini import DATA, KEYS, METHODS, from_ini, method_note
from d3gan.data.sources import SOURCES
from d3gan.errors import UserError

ORIGINAL = """[parameters]
type = mnist
batch_size = 64
nz = 90   ; latent
ngf = 32
ndf = 48
nc = 3
lr = 0.0003
beta1 = 0.4
beta2 = 0.99
checkpoint = 200
workers = 2
epochs = 50"""
"""A file with all keys of the succeeded project."""


def test_a_file_with_all_keys_of_the_succeeded_project() -> None:
    config = from_ini(ORIGINAL, Path("D3GAN/config.ini"))
    expected = configs.from_dict(
        {
            "name": "mnist-d3gan",
            "gan": {"discriminators": 2, "aggregation": "original"},
            "model": {"latent_dim": 90, "generator_width": 32, "discriminator_width": 48},
            "data": {"source": "mnist", "channels": 3, "workers": 2},
            "train": {"batch_size": 64, "epochs": 50.0},
            "optim": {"lr_g": 3e-4, "lr_d": 3e-4, "beta1": 0.4, "beta2": 0.99},
            "checkpoint": {"every_epochs": 200 * 64 / 60_000},
        }
    )
    assert config == expected
    assert len(ORIGINAL.splitlines()) - 1 == len({"type", *KEYS}) == 12


@pytest.mark.parametrize(
    ("place", "kind", "discriminators", "words"),
    [
        ("D3GAN", "mnist", 2, "D3GAN (2 discriminators) is trained, because of the name of its"),
        ("dcgan", "mnist", 1, "DCGAN (1 discriminator) is trained, because of the name of its"),
        (
            "other",
            "mnist",
            1,
            "type = mnist says nothing about the method; DCGAN (1 discriminator)",
        ),
        ("other", "", 1, "says nothing about the method; DCGAN (1 discriminator) is trained"),
        ("other", "d3gan", 2, "D3GAN (2 discriminators) is trained, because of type = d3gan"),
        ("D3GAN", "DCGAN", 1, "DCGAN (1 discriminator) is trained, because of type = DCGAN"),
    ],
)
def test_the_method_and_the_line_about_it(
    place: str, kind: str, discriminators: int, words: str, tmp_path: Path
) -> None:
    file = tmp_path / place / "config.ini"
    file.parent.mkdir()
    file.write_text(f"[parameters]\n{f'type = {kind}' if kind else 'nz = 8'}\n")
    config, _ = starting_point(str(file))
    assert config.gan.discriminators == discriminators
    note = method_note(config, file)
    assert words in note
    assert f"--gan.discriminators {3 - discriminators} for" in note


def test_the_line_is_about_what_a_flag_has_set(tmp_path: Path) -> None:
    file = tmp_path / "config.ini"
    file.write_text("type = mnist")
    config, _ = starting_point(str(file))
    more = configs.from_dict({"gan": {"discriminators": 3}}, config)
    assert "type = mnist says nothing about the method; a GAN with 3" in method_note(more, file)


@pytest.mark.parametrize("kind", DATA)
def test_every_type_is_a_data_source(kind: str) -> None:
    config = from_ini(f"\ufefftype = {kind.upper()}\nepochs=2\n", Path("old.ini"))
    assert (config.name, config.train.epochs) == ("old", 2.0)
    source = SOURCES[config.data.source]
    assert f"{DATA[kind][1]:,}" in source.images


def test_names_of_runs() -> None:
    names = [
        from_ini(f"type = {kind}", Path(place) / "config.ini").name
        for kind in ("mnist", "d3gan")
        for place in ("DCGAN", "elsewhere")
    ]
    assert names == ["mnist-dcgan", "mnist", "d3gan", "d3gan"]
    assert set(METHODS) == {"dcgan", "d3gan"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_size = 64", "old.ini: unknown key image_size = '64'"),
        ("batchsize = 64", "unknown key batchsize = '64' (did you mean 'batch_size'?)"),
        ("[paramters]\nnz = 4", "unknown section [paramters] (did you mean 'parameters'?)"),
        ("[DEFAULT]\nnz = 4", "old.ini: unknown section [DEFAULT]; allowed: [parameters]"),
        ("[parameters]\nnz = 4\n[training]\nlr = 1", "old.ini: unknown section [training]"),
        ("nz = many", "old.ini: nz = 'many': must be an integer"),
        ("nz = 4\nnz = 5", "old.ini: not a valid ini file: While reading"),
        ("lr = fast", "old.ini: lr = 'fast': must be a number"),
        ("type = wgan", "old.ini: type = 'wgan' (did you mean 'dcgan'?); allowed: mnist, cifar10"),
        ("ngf = -1", "old.ini: model.generator_width = -1: must be at least 1"),
        ("checkpoint = 0", "old.ini: checkpoint = '0': must be at least 1"),
        ("no equals sign", "old.ini: not a valid ini file"),
    ],
)
def test_errors_in_an_ini_file_are_reported(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        from_ini(text, Path("old.ini"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
