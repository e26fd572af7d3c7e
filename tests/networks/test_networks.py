import pytest
import torch
from torch import nn

from d3gan.networks import ARCHITECTURES, build_discriminators, build_generator
from d3gan.networks.initialisation import DRAWN_AT_ONCE, initialise
from d3gan.networks.norms import NORMS, SyncBatchNorm2d, make_norm
from d3gan.rng import Stream, normal

SMALL = {"channels": 3, "width": 2, "norm": "batch", "seed": 0}


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameter_counts_of_dcgan_at_32() -> None:
    shape = {"resolution": 32, "channels": 3, "width": 64, "norm": "batch", "seed": 0}
    assert parameters(build_generator("dcgan", latent_dim=100, **shape)) == 2_962_304
    assert parameters(build_discriminators("dcgan", 1, **shape)) == 2_759_424
    assert parameters(build_discriminators("dcgan", 2, **shape)) == 2 * 2_759_424


def test_dcgan_at_64_is_the_paper_s_network() -> None:
    # The PyTorch DCGAN tutorial's generator and discriminator have these sizes.
    shape = {"resolution": 64, "channels": 3, "width": 64, "norm": "batch", "seed": 0}
    assert parameters(build_generator("dcgan", latent_dim=100, **shape)) == 3_576_704
    assert parameters(build_discriminators("dcgan", 1, **shape)) == 2_765_568


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_at_every_resolution(name: str, norm: str, channels: int) -> None:
    for resolution in ARCHITECTURES[name].resolutions:
        shape = SMALL | {"resolution": resolution, "channels": channels, "norm": norm}
        images = build_generator(name, latent_dim=7, **shape)(torch.randn(2, 7))
        assert images.shape == (2, channels, resolution, resolution)
        assert images.abs().max() <= 1
        logits = build_discriminators(name, 3, **shape)(images, images[:1].repeat(2, 1, 1, 1))
        assert logits.shape == (3, 4)


def test_each_batch_is_normalised_by_itself() -> None:
    ensemble = build_discriminators("dcgan", 2, resolution=16, **SMALL)
    one, other = torch.randn(4, 3, 16, 16), torch.randn(5, 3, 16, 16) + 3
    together = ensemble(one, other)
    torch.testing.assert_close(together, torch.cat([ensemble(one), ensemble(other)], dim=1))
    assert not torch.allclose(together, ensemble(torch.cat([one, other])))


@pytest.mark.parametrize("norm", NORMS)
def test_discriminators_have_no_buffers(norm: str) -> None:
    ensemble = build_discriminators("dcgan", 2, resolution=32, **(SMALL | {"norm": norm}))
    assert list(ensemble.buffers()) == []


def test_initial_weights() -> None:
    generator = build_generator("dcgan", resolution=32, latent_dim=64, **(SMALL | {"width": 16}))
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
    assert layer.weight.numel() > DRAWN_AT_ONCE
    initialise(layer, 5, Stream.GENERATOR_WEIGHTS)
    draws = normal(5, Stream.GENERATOR_WEIGHTS, 0, torch.arange(90_000), 1)
    assert torch.equal(layer.weight, (0.02 * draws).float().view(300, 300))


def test_initial_weights_depend_on_seed_and_member_alone() -> None:
    two, three = (build_discriminators("dcgan", n, resolution=16, **SMALL) for n in (2, 3))
    for a, b in zip(two.members, three.members, strict=False):
        assert torch.equal(a.layers[0].weight, b.layers[0].weight)
    assert not torch.equal(two.members[0].layers[0].weight, two.members[1].layers[0].weight)
    other = build_discriminators("dcgan", 1, resolution=16, **(SMALL | {"seed": 1}))
    assert not torch.equal(two.members[0].layers[0].weight, other.members[0].layers[0].weight)


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
