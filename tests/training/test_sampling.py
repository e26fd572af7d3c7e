from itertools import pairwise

import numpy as np
import torch
from tests.small_networks import make_generator
from torch import nn

from d3gan.training.sampling import generate, interpolation, latents, to_uint8


def test_latents_are_an_endless_list() -> None:
    assert torch.equal(latents(10, 4, seed=1)[6:], latents(4, 4, seed=1, first=6))
    assert not torch.equal(latents(10, 4, seed=1), latents(10, 4, seed=2))


def test_sampling_uses_running_statistics_and_changes_nothing() -> None:
    generator = make_generator(
        "dcgan", resolution=16, channels=1, latent_dim=4, width=2, norm="batch", seed=0
    )
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    z = latents(100, 4, seed=0)
    images = generate(generator, z)
    assert images.shape == (100, 1, 16, 16)
    assert generator.training
    assert torch.equal(images[70:], generate(generator, z[70:]))
    assert all(torch.equal(tensor, before[n]) for n, tensor in generator.state_dict().items())


def test_rounding_to_bytes() -> None:
    images = torch.tensor([-1.2, -1.0, 0.0, 0.999, 1.0])
    assert to_uint8(images).tolist() == [0, 0, 128, 255, 255]
    every = np.arange(256, dtype=np.uint8)
    assert np.array_equal(to_uint8(torch.from_numpy(every) / 127.5 - 1), every)


def test_spherical_interpolation_stays_on_the_sphere() -> None:
    corners = nn.functional.normalize(torch.randn(3, 50, dtype=torch.float64), dim=1)
    for walk, ends in zip(interpolation(corners, 5), pairwise(corners), strict=True):
        torch.testing.assert_close(walk[[0, -1]], torch.stack(ends))
        torch.testing.assert_close(walk.norm(dim=1), torch.ones(5, dtype=torch.float64))
        angles = [float(torch.acos(a @ b)) for a, b in pairwise(walk)]
        assert max(angles) - min(angles) < 1e-6
