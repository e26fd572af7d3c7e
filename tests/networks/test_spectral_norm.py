"""Spectral normalisation against the singular value decomposition."""

import copy
import itertools
from typing import Any

import pytest
import torch
from tests.small_networks import make_discriminators
from torch import Tensor, nn
from torch.func import functional_call

from d3gan.networks.sngan import Discriminator
from d3gan.networks.spectral_norm import (
    SpectralConv2d,
    SpectralEmbedding,
    SpectralLinear,
    initialise_vectors,
    normalised,
    spectral_layers,
)
from d3gan.rng import Stream

LAYERS: dict[str, Any] = {
    "convolution": lambda: SpectralConv2d(3, 5, 3, padding=1),
    "wide convolution": lambda: SpectralConv2d(7, 2, 1),
    "linear": lambda: SpectralLinear(6, 4),
    "one output": lambda: SpectralLinear(6, 1),
    "embedding": lambda: SpectralEmbedding(4, 3),
}
INPUTS = {
    "convolution": torch.randn(2, 3, 4, 4, dtype=torch.float64),
    "wide convolution": torch.randn(2, 7, 4, 4, dtype=torch.float64),
    "linear": torch.randn(2, 6, dtype=torch.float64),
    "one output": torch.randn(2, 6, dtype=torch.float64),
    "embedding": torch.tensor([0, 2, 3]),
}


def layer(kind: str) -> Any:
    made = LAYERS[kind]().double()
    for seed, parameter in enumerate(made.parameters()):
        generator = torch.Generator().manual_seed(seed)
        parameter.data = torch.randn(parameter.shape, dtype=torch.float64, generator=generator)
    initialise_vectors(made, 0, Stream.DISCRIMINATOR_WEIGHTS, 0)
    return made


@pytest.mark.parametrize("kind", LAYERS)
def test_the_estimate_becomes_the_largest_singular_value(kind: str) -> None:
    made, x = layer(kind), INPUTS[kind]
    for _ in range(500):
        made(x)
    u, values, vh = torch.linalg.svd(made.weight.detach().flatten(1), full_matrices=False)
    weight = normalised(made.weight, made.singular_vector, iterate=False)
    torch.testing.assert_close(weight, made.weight / values[0])
    assert abs(float(made.singular_vector @ u[:, 0])) == pytest.approx(1)
    # d sum(C * W / sigma) / dW = C / sigma - <C, W> / sigma^2 u v'
    factor = torch.randn_like(weight)
    (gradient,) = torch.autograd.grad((factor * weight).sum(), made.weight)
    outer = torch.outer(u[:, 0], vh[0]).view_as(weight)
    expected = factor / values[0] - (factor * made.weight).sum() / values[0] ** 2 * outer
    torch.testing.assert_close(gradient, expected)


def test_the_gradient_is_that_of_an_exact_norm() -> None:
    made = layer("linear")
    for _ in range(500):
        made(INPUTS["linear"])

    mine = normalised(made.weight, made.singular_vector, iterate=False).sin().sum()
    exact = (made.weight / torch.linalg.matrix_norm(made.weight, 2)).sin().sum()
    torch.testing.assert_close(mine, exact)
    torch.testing.assert_close(
        torch.autograd.grad(mine, made.weight), torch.autograd.grad(exact, made.weight)
    )


@pytest.mark.parametrize("kind", LAYERS)
def test_each_forward_pass_of_training_is_one_iteration(kind: str) -> None:
    made, x = layer(kind), INPUTS[kind]
    matrix = made.weight.detach().flatten(1)
    u = made.singular_vector.clone()
    assert float(u.norm()) == pytest.approx(1)
    for _ in range(3):
        made(x)
        v = matrix.T @ u / (matrix.T @ u).norm()
        u = matrix @ v / (matrix @ v).norm()
        torch.testing.assert_close(made.singular_vector, u)
        made.eval()(x)
        assert torch.equal(made.train().singular_vector, made.singular_vector)
        torch.testing.assert_close(made.singular_vector, u)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_in_evaluation_is_a_function(kind: str) -> None:
    made, x = layer(kind).eval(), INPUTS[kind]
    before = made.singular_vector.clone()
    out = made(x)
    assert torch.equal(made(x), out)
    assert torch.equal(made.singular_vector, before)
    weight = made.weight / (made.weight.flatten(1).T @ before).norm()
    if isinstance(made, nn.Conv2d):
        expected = nn.functional.conv2d(x, weight, made.bias, padding=made.padding)
    elif isinstance(made, nn.Linear):
        expected = x @ weight.T + made.bias
    else:
        expected = weight[x]
    torch.testing.assert_close(out, expected)


def test_two_forward_passes_before_one_backward_pass() -> None:
    made, x = layer("convolution"), INPUTS["convolution"]
    other = copy.deepcopy(made)
    (made(x) + made(2 * x)).sin().sum().backward()
    one, two = normalised_weights(other)
    total = sum(
        nn.functional.conv2d(factor * x, weight, other.bias, padding=1)
        for factor, weight in ((1, one), (2, two))
    )
    assert isinstance(total, Tensor)
    total.sin().sum().backward()
    torch.testing.assert_close(made.weight.grad, other.weight.grad)
    assert torch.equal(made.singular_vector, other.singular_vector)


def normalised_weights(layer: SpectralConv2d) -> list[Tensor]:
    """Return the weights of the next two forward passes."""
    return [normalised(layer.weight, layer.singular_vector, iterate=True) for _ in range(2)]


def test_gradients_of_gradients() -> None:
    made, x = layer("linear"), INPUTS["linear"].clone().requires_grad_()

    def penalty(weight: Tensor) -> Tensor:
        w = weight / torch.dot(u, torch.mv(weight, v))
        (slope,) = torch.autograd.grad(nn.functional.linear(x, w).sin().sum(), x, create_graph=True)
        return slope.square().sum()

    (slope,) = torch.autograd.grad(made.eval()(x).sub(made.bias).sin().sum(), x, create_graph=True)
    u = made.singular_vector
    v = nn.functional.normalize(made.weight.detach().T @ u, dim=0)
    (mine,) = torch.autograd.grad(slope.square().sum(), made.weight)
    (theirs,) = torch.autograd.grad(penalty(made.weight), made.weight)
    torch.testing.assert_close(mine, theirs)


def test_torch_converges_to_the_same() -> None:
    made, x = layer("convolution"), INPUTS["convolution"]
    theirs = nn.Conv2d(3, 5, 3, padding=1).double()
    theirs.load_state_dict({name: made.state_dict()[name] for name in ("weight", "bias")})
    nn.utils.parametrizations.spectral_norm(theirs)
    for _ in range(300):
        mine, expected = made(x), theirs(x)
    torch.testing.assert_close(mine, expected)


def test_initial_vectors_depend_on_seed_and_member_only() -> None:
    one, same = (make_discriminators("sngan", n) for n in (2, 3))
    other = make_discriminators("sngan", seed=1)
    vectors = [
        torch.cat([made.singular_vector for made in spectral_layers(member)])
        for member in (*one.members, *same.members[:2], *other.members)
    ]
    assert torch.equal(vectors[0], vectors[2])
    assert torch.equal(vectors[1], vectors[3])
    different = [vectors[0], vectors[1], vectors[4]]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(different, 2))
    assert torch.allclose(torch.stack([v.norm() for v in vectors]), vectors[0].norm())


def test_channels_last_changes_rounding_only() -> None:
    one = make_discriminators("sngan").double()
    other = copy.deepcopy(one).to(memory_format=torch.channels_last)
    images = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    for _ in range(3):
        torch.testing.assert_close(one(images), other(images))
    for a, b in zip(one.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(a, b)


def test_copies_and_saved_states_go_on_alike() -> None:
    one = make_discriminators("sngan", classes=3).double()
    images, labels = torch.randn(2, 3, 16, 16, dtype=torch.float64), torch.tensor([0, 2])
    one(images, labels=labels)
    copied, loaded = copy.deepcopy(one), make_discriminators("sngan", classes=3, seed=1).double()
    loaded.load_state_dict(one.state_dict())
    expected = one(images, labels=labels)
    assert torch.equal(copied(images, labels=labels), expected)
    assert torch.equal(loaded(images, labels=labels), expected)


def test_a_functional_call_leaves_the_layer_alone() -> None:
    member = make_discriminators("sngan").double().members[0]
    assert isinstance(member, Discriminator)
    state = {name: tensor.clone() for name, tensor in member.state_dict().items()}
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    called = functional_call(member, state, (images,))
    before = member.last.singular_vector.clone()
    assert torch.equal(member(images), called)
    assert torch.equal(state["last.singular_vector"], member.last.singular_vector)
    assert member.blocks[1].second.singular_vector.shape == (4,)
    assert before.shape == (1,)


def test_the_estimate_is_not_rounded_to_bfloat16() -> None:
    made = layer("convolution").float()
    exact = float(torch.linalg.matrix_norm(made.weight.detach().flatten(1), 2))
    with torch.autocast("cpu", torch.bfloat16):
        for _ in range(200):
            out = made(INPUTS["convolution"].float())
    assert out.dtype == torch.bfloat16
    weight = normalised(made.weight, made.singular_vector, iterate=False)
    assert float((made.weight / weight).detach().mean()) == pytest.approx(exact, rel=1e-5)
