"""Directions in the space of latents along which the images of a generator change most."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from d3gan.training.generator import TrainedGenerator

SAMPLES = 512
"""Number of images from which the directions of an unknown network are estimated."""


@dataclass(frozen=True)
class Directions:
    """Orthonormal directions of the space of latents, by decreasing strength."""

    vectors: Tensor
    """float64 [K, latent_dim]; the largest component of each is positive."""
    strengths: Tensor
    """float64 [K]: how far a step of length one moves the output that the method looks at."""
    method: str
    """The method: SeFa or GANSpace."""


def principal_directions(trained: TrainedGenerator, count: int) -> Directions:
    """Return at most `count` principal directions of a generator.

    If the first layer is an affine map A z + b of the latent, the directions are those of SeFa
    (Shen and Zhou 2021, "Closed-form factorization of latent semantics in GANs"): the unit vectors
    n with the largest |A n|, which are the eigenvectors of A'A. For other networks they are those
    of GANSpace (Härkönen et al. 2020, "GANSpace: Discovering interpretable GAN controls"), with
    the pixels of the images as the features.
    """
    matrix = first_layer(trained.generator, trained.latent_dim, trained.classes)
    if matrix is not None:
        return sefa(matrix, count)
    labels = trained.labels(SAMPLES)
    z = trained.latents(SAMPLES)
    pixels = torch.from_numpy(trained.images(z, labels)).flatten(1).double() / 127.5 - 1
    return ganspace(z, pixels, count)


def sefa(matrix: Tensor, count: int) -> Directions:
    """Return the right singular vectors of A [outputs, latent_dim] with the largest values."""
    _, strengths, vectors = torch.linalg.svd(matrix.double(), full_matrices=False)
    return Directions(_signed(vectors[:count]), strengths[:count], "SeFa")


def ganspace(z: Tensor, features: Tensor, count: int) -> Directions:
    """Return the directions of z [M, latent_dim] that change the principal components of features
    [M, F] most.

    The coordinates of the features on their components are regressed on z by least squares. The
    coefficients of each component are a direction, and they are made orthonormal in the order of
    the components. (GANSpace regresses z on the coordinates.)
    """
    z, features = (x.double() - x.double().mean(0) for x in (z, features))
    count = min(count, z.shape[1], len(z) - 1)
    left, values, _ = torch.linalg.svd(features, full_matrices=False)
    coefficients = torch.linalg.lstsq(z, left[:, :count] * values[:count]).solution.T
    vectors = torch.linalg.qr(coefficients.T)[0].T
    strengths = torch.linalg.vector_norm(coefficients, dim=1)
    return Directions(_signed(vectors), strengths, "GANSpace")


def first_layer(network: nn.Module, latent_dim: int, classes: int = 0) -> Tensor | None:
    """Return the matrix A [outputs, latent_dim] of a generator's first layer; None if that layer is
    not an affine map of z.

    A conditional generator may join z with an embedding of the label, behind z.
    """
    z = torch.linspace(-1, 1, latent_dim)[None]
    calls: list[tuple[nn.Module, Tensor]] = []
    handles = [
        module.register_forward_pre_hook(lambda module, inputs: calls.append((module, inputs[0])))
        for module in network.modules()
        if isinstance(module, tuple(MATRICES))
    ]
    first_parameter = next(network.parameters())
    try:
        with torch.no_grad():
            labels = [torch.zeros(1, dtype=torch.int64, device=first_parameter.device)]
            network(z.to(first_parameter), *labels[: 1 if classes else 0])
    finally:
        for handle in handles:
            handle.remove()
    if not calls:
        return None
    layer, received = calls[0]
    values = received.flatten(1)[:, :latent_dim].to(z)
    if values.shape != z.shape or not torch.equal(values, z):
        return None
    with torch.no_grad():
        return MATRICES[type(layer)](layer)[:, :latent_dim].double().cpu()


MATRICES: dict[type[nn.Module], Callable[[nn.Module], Tensor]] = {
    nn.Linear: lambda layer: layer.get_parameter("weight"),
    nn.ConvTranspose2d: lambda layer: layer.get_parameter("weight").flatten(1).T,
}
"""The matrix [outputs, inputs] of each kind of first layer. The transposed convolution of a single
pixel is the product of its weights [inputs, outputs, side, side] with it."""


def moved(z: Tensor, directions: Directions, offsets: Tensor) -> Tensor:
    """Return latents z [B, latent_dim] moved by `offsets` [K] along the first K directions."""
    return z + offsets.to(z) @ directions.vectors[: len(offsets)].to(z)


def _signed(vectors: Tensor) -> Tensor:
    """Return vectors [K, L] with the sign that makes the largest component positive."""
    largest = vectors.abs().argmax(dim=1, keepdim=True)
    return vectors * vectors.gather(1, largest).sign()
