import pytest

from d3gan import config as configs
from d3gan.config_ini import from_ini
from d3gan.errors import UserError


def test_an_ini_file_of_the_succeeded_project() -> None:
    text = """
        [model]
        type = d3gan
        nz = 90   ; latent
        ngf = 32
        ndf = 48
        nc = 1
        [training]
        batch_size = 256
        lr = 0.0003
        beta1 = 0.4
        beta2 = 0.99
        workers = 2
        epochs = 7
    """
    config = from_ini("\n".join(line.strip() for line in text.splitlines()), "old", "old.ini")
    expected = configs.from_dict(
        {
            "name": "old",
            "gan": {"discriminators": 2, "aggregation": "original"},
            "model": {"latent_dim": 90, "generator_width": 32, "discriminator_width": 48},
            "data": {"channels": 1, "workers": 2},
            "train": {"batch_size": 256, "epochs": 7.0},
            "optim": {"lr_g": 3e-4, "lr_d": 3e-4, "beta1": 0.4, "beta2": 0.99},
        }
    )
    assert config == expected


def test_an_ini_file_without_sections_whose_type_is_a_data_set() -> None:
    config = from_ini("type = SVHN\nepochs=2\n", "old", "old.ini")
    assert (config.data.source, config.train.epochs) == ("svhn", 2.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_size = 64", "old.ini: unknown key image_size = '64'"),
        ("nz = many", "old.ini: nz = 'many': must be an integer"),
        ("lr = fast", "old.ini: lr = 'fast': must be a number"),
        ("type = wgan", "old.ini: type = 'wgan': allowed: dcgan, d3gan, mnist"),
        ("ngf = -1", "old.ini: model.generator_width = -1: must be at least 1"),
        ("no equals sign", "old.ini: not a valid ini file"),
    ],
)
def test_errors_in_an_ini_file_are_reported(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        from_ini(text, "old", "old.ini")
    assert message in str(caught.value)
