"""What is checked before a run starts."""

from typing import Any

import pytest

from d3gan import config as configs
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.training.preparation import check_batch_size, meta_networks
from d3gan.training.trainer import train


def changed(config: Config, **sections: object) -> Config:
    return configs.from_dict(sections, config)


def test_fewer_images_than_processes_is_refused(tiny: Config) -> None:
    with pytest.raises(UserError, match=r"train\.batch_size = 8: must be at least 9"):
        check_batch_size(tiny, 9, meta_networks(tiny))


def test_a_batch_too_small_for_batch_norm_is_refused(tiny: Config) -> None:
    wrong = changed(tiny, train={"batch_size": 1}, model={"generator_norm": "batch"})
    with pytest.raises(UserError, match=r"train\.batch_size = 1: must be at least 2"):
        train(wrong)


@pytest.mark.parametrize(
    ("sections", "least"),
    [
        ({}, 1),
        ({"model": {"generator_norm": "batch"}}, 2),
        ({"model": {"discriminator_norm": "sync"}}, 2),
        ({"gan": {"members": ["dcgan", "dcgan(norm='batch')"]}}, 2),
        ({"model": {"generator_norm": "batch", "architecture": "dcgan(norm='none')"}}, 1),
        ({"gan": {"members": ["dcgan(norm='batch',stages=2)"], "views": ["projection"]}}, 2),
        ({"model": {"conditional": True}}, 1),
    ],
)
def test_the_networks_decide_how_many_images_they_need(
    tiny: Config, sections: dict[str, Any], least: int
) -> None:
    config = configs.validate(changed(tiny, **sections))
    networks = meta_networks(config)
    check_batch_size(changed(config, train={"batch_size": least * 3}), 3, networks)
    with pytest.raises(UserError, match=f"must be at least {least * 3} "):
        check_batch_size(changed(config, train={"batch_size": least * 3 - 1}), 3, networks)
