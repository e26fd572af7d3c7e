"""Every architecture in the registry, and the known sizes of DCGAN."""

from typing import Any

import pytest
import torch
from tests.small_networks import make_discriminators, make_generator
from torch import nn

from d3gan.networks import ARCHITECTURES
from d3gan.networks.architecture import ImageShape
from d3gan.networks.dcgan import DCGAN
from d3gan.networks.initialisation import CHUNK, fill_normal
from d3gan.networks.norms import NORMS, SyncBatchNorm2d, make_norm
from d3gan.rng import Stream, normal


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameter_counts_of_dcgan_at_32() -> None:
    shape: dict[str, Any] = {"resolution": 32, "width": 64}
    assert parameters(make_generator(latent_dim=100, **shape)) == 2_962_304
    assert parameters(make_discriminators(**shape)) == 2_759_424
    assert parameters(make_discriminators("dcgan", 2, **shape)) == 2 * 2_759_424


def test_dcgan_at_64_is_the_paper_s_network() -> None:
    # The PyTorch DCGAN tutorial's generator and discriminator have these sizes.
    shape: dict[str, Any] = {"resolution": 64, "width": 64}
    assert parameters(make_generator(latent_dim=100, **shape)) == 3_576_704
    assert parameters(make_discriminators(**shape)) == 2_765_568


@torch.no_grad()
@pytest.mark.parametrize(("channels", "classes"), [(1, 0), (3, 3)])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_shapes_at_every_resolution(name: str, norm: str, channels: int, classes: int) -> None:
    labels = torch.tensor([0, 2]) if classes else None
    for resolution in ARCHITECTURES.build(name).resolutions:
        shape: dict[str, Any] = {"resolution": resolution, "channels": channels, "norm": norm}
        shape |= {"width": 2, "classes": classes}
        images = make_generator(name, latent_dim=7, **shape)(torch.randn(2, 7), labels)
        assert images.shape == (2, channels, resolution, resolution)
        assert images.isfinite().all()
        ensemble = make_discriminators(name, 3, **shape)
        logits = ensemble(images, images[:1].repeat(2, 1, 1, 1), labels=labels)
        assert logits.shape == (3, 4)


def test_dcgan_s_images_are_bounded() -> None:
    generator = make_generator()
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.mul_(100)
    images = generator(torch.randn(50, 8))
    assert 0.999 < images.abs().max() <= 1


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_conditional_network_depends_on_its_label(name: str) -> None:
    generator = make_generator(name, classes=3, norm="group").eval()
    z = torch.randn(1, 8).repeat(2, 1)
    one, other = generator(z, torch.tensor([0, 1]))
    assert not torch.allclose(one, other)
    ensemble = make_discriminators(name, classes=3, norm="group")
    images = torch.randn(1, 3, 16, 16).repeat(3, 1, 1, 1)
    logits = ensemble(images, labels=torch.tensor([0, 1, 2]))[0]
    assert len(set(logits.tolist())) == 3


def test_the_projection_is_the_inner_product_with_the_label_s_embedding() -> None:
    member = make_discriminators(classes=4, norm="none").members[0]
    images, labels = torch.randn(5, 3, 16, 16), torch.tensor([0, 1, 2, 3, 1])
    features = member.layers[:-1](images).sum(dim=(2, 3))
    expected = member.layers(images).flatten() + torch.einsum(
        "bc,bc->b", features, member.embedding.weight[labels]
    )
    torch.testing.assert_close(member(images, labels), expected)


@pytest.mark.parametrize("stages", [1, 2, 3, 5])
def test_the_depth_of_dcgan_is_an_option(stages: int) -> None:
    text = f"dcgan(stages={stages})"
    (member,) = make_discriminators(text, resolution=32, width=2).members
    convolutions = [m for m in member.modules() if isinstance(m, nn.Conv2d)]
    assert [m.stride for m in convolutions] == [(2, 2)] * stages + [(1, 1)]
    assert [m.out_channels for m in convolutions] == [*(2 * 2**k for k in range(stages)), 1]
    assert member(torch.randn(2, 3, 32, 32)).shape == (2,)
    images = make_generator(text, resolution=32, width=2)(torch.randn(2, 8))
    assert images.shape == (2, 3, 32, 32)
    sides = (4, 8, 16, 32, 64, 128)
    assert DCGAN(stages=stages).resolutions == tuple(side for side in sides if side >= 2**stages)


def test_the_default_depth_of_dcgan_is_that_of_the_resolution() -> None:
    for resolution, stages in ((16, 4), (32, 4), (64, 4), (128, 5)):
        shape: dict[str, Any] = {"resolution": resolution, "width": 2}
        default, explicit = (
            make_discriminators(text, **shape) for text in ("dcgan", f"dcgan(stages={stages})")
        )
        assert repr(default) == repr(explicit)


def test_activation_is_an_option() -> None:
    for text, kinds in (("dcgan", (nn.ReLU, nn.LeakyReLU)), ("dcgan(activation='mish')", nn.Mish)):
        for network in (make_generator(text), make_discriminators(text)):
            activations = (nn.ReLU, nn.LeakyReLU, nn.Mish)
            found = [m for m in network.modules() if isinstance(m, activations)]
            assert found
            assert all(isinstance(m, kinds) for m in found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width = 0: must be at least 1"),
        ({"norm": "bacth"}, "norm = 'bacth': allowed: batch, sync, group, none"),
        ({"stages": -1}, "stages = -1: must be at least 0 and at most 7"),
        ({"activation": "gelu"}, "activation = 'gelu': allowed: relu, mish"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DCGAN(**options)


def test_each_batch_is_normalised_separately() -> None:
    ensemble = make_discriminators("dcgan", 2)
    one, other = torch.randn(4, 3, 16, 16), torch.randn(5, 3, 16, 16) + 3
    together = ensemble(one, other)
    torch.testing.assert_close(together, torch.cat([ensemble(one), ensemble(other)], dim=1))
    assert not torch.allclose(together, ensemble(torch.cat([one, other])))


@pytest.mark.parametrize("norm", NORMS)
def test_discriminators_of_dcgan_have_no_buffers(norm: str) -> None:
    assert list(make_discriminators("dcgan", 2, resolution=32, norm=norm).buffers()) == []


def test_initial_weights() -> None:
    generator = make_generator(resolution=32, latent_dim=64, width=16)
    generator.requires_grad_(False)
    for module in generator.modules():
        if isinstance(module, nn.ConvTranspose2d):
            assert abs(float(module.weight.mean())) < 0.002
            assert float(module.weight.std()) == pytest.approx(0.02, rel=0.1)
        if isinstance(module, nn.BatchNorm2d):
            assert float(module.weight.mean()) == pytest.approx(1, abs=0.02)
            assert 0.01 < float(module.weight.std()) < 0.03
            assert not module.bias.any()


def test_many_initial_weights_are_those_of_one_draw() -> None:
    layer = nn.Linear(300, 300, bias=False)
    assert layer.weight.numel() > CHUNK
    fill_normal(layer.weight, 5, Stream.GENERATOR_WEIGHTS, 0, std=0.02)
    draws = normal(5, Stream.GENERATOR_WEIGHTS, 0, torch.arange(90_000), 1)
    assert torch.equal(layer.weight, (0.02 * draws).float().view(300, 300))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_initial_weights_depend_on_seed_and_member_only(name: str) -> None:
    two, three = (make_discriminators(name, n, classes=2) for n in (2, 3))
    other_seed = make_discriminators(name, 1, seed=1, classes=2)

    def same(a: nn.Module, b: nn.Module) -> bool:
        pairs = zip(a.parameters(), b.parameters(), strict=True)
        return all(torch.equal(x, y) for x, y in pairs)

    assert same(two.members[0], three.members[0])
    assert same(two.members[1], three.members[1])
    assert not same(two.members[0], two.members[1])
    assert not same(two.members[0], other_seed.members[0])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_overwrites_whatever_the_weights_were(name: str) -> None:
    architecture, images = ARCHITECTURES.build(name), ImageShape(32, 3, classes=2)
    for network in (architecture.generator(images, 4), architecture.discriminator(images)):
        for parameter in network.parameters():
            nn.init.constant_(parameter, 123.0)
        architecture.initialise(network, 0, Stream.GENERATOR_WEIGHTS, 0)
        assert not any((parameter == 123.0).any() for parameter in network.parameters())


def test_sync_batch_norm_over_two_parts_is_batch_norm_over_the_whole() -> None:
    whole = nn.BatchNorm2d(3).double()
    x = torch.randn(6, 3, 4, 4, dtype=torch.float64) * 3 + 5
    synced = SyncBatchNorm2d(3).double()
    # Two ranks at once in one process: what the other rank adds is known beforehand.
    theirs, mine = x[:2], x[2:]
    sums = iter(
        [
            torch.cat([theirs.sum((0, 2, 3)), torch.tensor([32.0], dtype=torch.float64)]),
            (theirs - x.mean((0, 2, 3), keepdim=True)).square().sum((0, 2, 3)),
        ]
    )
    synced.sum_over_ranks = lambda here: here + next(sums)
    torch.testing.assert_close(synced(mine), whole(x)[2:])
    torch.testing.assert_close(synced.running_mean, whole.running_mean)
    torch.testing.assert_close(synced.running_var, whole.running_var)
    torch.testing.assert_close(synced.eval()(mine), whole.eval()(x)[2:])


def test_unknown_norm_is_named() -> None:
    with pytest.raises(ValueError, match="unknown norm 'bacth'; allowed: batch, sync, group, none"):
        make_norm("bacth", 4, running_statistics=True)
