"""Principal directions of the latents of a generator."""

import pytest
import torch
from torch import Tensor, nn

import d3gan
from d3gan import config as configs
from d3gan.config import Config
from d3gan.play.directions import (
    Directions,
    first_layer,
    ganspace,
    moved,
    principal_directions,
    sefa,
)
from d3gan.training.build import build_generator
from d3gan.training.generator import TrainedGenerator

LATENT = 8


def test_sefa_finds_the_directions_of_largest_gain() -> None:
    """Along the n-th direction a matrix with known singular values multiplies by the n-th value."""
    torch.manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(n, 4, dtype=torch.float64))[0] for n in (20, LATENT))
    values = torch.tensor([5.0, 3.0, 2.0, 0.5], dtype=torch.float64)
    matrix = left * values @ right.T
    found = sefa(matrix, 3)
    torch.testing.assert_close(found.strengths, values[:3])
    torch.testing.assert_close((matrix @ found.vectors.T).norm(dim=0), values[:3])
    # Eigenvectors of A'A, up to the sign.
    torch.testing.assert_close((found.vectors @ right[:, :3]).abs(), torch.eye(3).double())


def test_ganspace_finds_the_directions_of_a_linear_map() -> None:
    """Of an affine map, both methods find the same."""
    torch.manual_seed(0)
    z = torch.randn(4000, LATENT, dtype=torch.float64)
    matrix = torch.zeros(12, LATENT, dtype=torch.float64)
    matrix[3, 5], matrix[1, 2], matrix[7, 0] = 9.0, -4.0, 1.0
    found = ganspace(z, z @ matrix.T + 3, 3)
    assert (found.vectors @ sefa(matrix, 3).vectors.T).diagonal().abs().min() > 0.99
    torch.testing.assert_close(
        found.strengths, torch.tensor([9.0, 4.0, 1.0]).double(), rtol=0.05, atol=0.0
    )


@pytest.mark.parametrize("directions", [sefa(torch.randn(9, LATENT), 6)])
def test_directions_are_orthonormal_and_signed(directions: Directions) -> None:
    products = directions.vectors @ directions.vectors.T
    torch.testing.assert_close(products, torch.eye(6).double())
    largest = directions.vectors.abs().argmax(dim=1)
    assert bool((directions.vectors[torch.arange(6), largest] > 0).all())


def test_latents_are_moved_along_directions() -> None:
    directions = sefa(torch.diag(torch.tensor([1.0, 3.0, 2.0])), 2)
    z = torch.zeros(2, 3, dtype=torch.float64)
    assert moved(z, directions, torch.tensor([2.0, -1.0])).tolist() == [[0, 2, -1], [0, 2, -1]]
    assert moved(z, directions, torch.tensor([])).equal(z)


@pytest.mark.parametrize("architecture", ["dcgan", "sngan", "r3gan"])
@pytest.mark.parametrize("classes", [0, 3])
def test_the_first_layer_of_every_architecture(architecture: str, classes: int) -> None:
    config = configs.from_dict(
        {
            "data": {"resolution": 16},
            "model": {
                "architecture": architecture,
                "latent_dim": LATENT,
                "generator_width": 4,
                "conditional": classes > 0,
            },
        }
    )
    generator = build_generator(config, classes).eval()
    matrix = first_layer(generator, LATENT, classes)
    assert matrix is not None
    assert matrix.shape[1] == LATENT
    assert not any(module._forward_pre_hooks for module in generator.modules())

    # The matrix is that of the network: it says how far the first layer's output moves.
    outputs: list[Tensor] = []
    kinds = (nn.Linear, nn.ConvTranspose2d)
    layer = next(module for module in generator.modules() if isinstance(module, kinds))
    layer.register_forward_hook(lambda module, inputs, output: outputs.append(output.flatten()))
    direction = sefa(matrix, 1)
    for z in (torch.zeros(1, LATENT), direction.vectors.float()):
        generator(z, *[torch.zeros(1, dtype=torch.int64)] * (classes > 0))
    torch.testing.assert_close((outputs[1] - outputs[0]).norm().double(), direction.strengths[0])


class Curved(nn.Module):
    """A generator whose first layer does not see z itself."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(LATENT, 16 * 16, bias=False)

    def forward(self, z: Tensor) -> Tensor:
        return self.layer(torch.sinh(z)).view(-1, 1, 16, 16)  # type: ignore[no-any-return]


def test_other_networks_are_explained_by_their_images() -> None:
    network = Curved()
    assert first_layer(network, LATENT) is None
    with torch.no_grad():
        network.layer.weight.fill_(0.0)
        network.layer.weight[:, 3] = 0.05
    config = configs.from_dict({"model": {"latent_dim": LATENT}})
    found = principal_directions(TrainedGenerator(config, network, 1), 1)
    assert found.method == "GANSpace"
    assert found.vectors[0].argmax() == 3
    assert found.vectors[0, 3] > 0.95


def test_a_trained_generator_has_directions(tiny: Config) -> None:
    run = d3gan.train(configs.from_dict({"train": {"epochs": 0.2}}, tiny))
    found = principal_directions(d3gan.load(run), 100)
    assert found.method == "SeFa"
    assert found.vectors.shape == (8, 8), "no more than the latent has dimensions"
