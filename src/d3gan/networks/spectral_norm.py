"""Spectral normalisation (Miyato et al. 2018, "Spectral normalization for generative adversarial
networks").

A layer computes with W / sigma(W), where sigma is the largest singular value of its weights,
estimated by one step of power iteration in each forward pass of training (algorithm 1).

These are layers of our own because torch.nn.utils.parametrizations.spectral_norm draws its initial
vectors from the global random generator, iterates whenever `weight` is read, so that looking at a
layer changes a run, and renames the parameter. Here `weight` and `bias` keep their names and
meaning, and the layer has one buffer.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from d3gan.networks.initialisation import fill_normal
from d3gan.rng import Stream

VECTOR = "singular_vector"
"""Name of the buffer [outputs]: the estimated left singular vector, of length 1."""


def normalised(weight: Tensor, vector: Tensor, *, iterate: bool) -> Tensor:
    """Return weights [outputs, ...] divided by their estimated largest singular value.

    With u the `vector` [outputs] and W the weights as a matrix, v = W'u / |W'u|, and with
    `iterate` u is overwritten by Wv / |Wv|; then sigma = u'Wv. The gradient flows through W in
    sigma, with u and v constant: d sigma / dW = u v' (Miyato et al. 2018, equation 12). The
    estimate is finite unless W is zero.
    """
    # Channels last, as the engine arranges weights, so that the matrix is a view. The order of the
    # columns does not change singular values.
    matrix = weight if weight.dim() == 2 else weight.permute(0, 2, 3, 1).flatten(1)
    with _full_precision(weight.device):
        with torch.no_grad():
            v = functional.normalize(torch.mv(matrix.T, vector), dim=0)
        product = torch.mv(matrix, v)
        if iterate:
            vector.copy_(functional.normalize(product.detach(), dim=0))
        # A copy: the next forward pass overwrites the vector, perhaps before this one's backward.
        sigma = torch.dot(vector.clone(), product)
    return weight / sigma


def _full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context without mixed precision, in which the estimate would not converge."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()  # device meta


def spectral_layers(network: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers of a network that have spectral normalisation."""
    return (module for module in network.modules() if hasattr(module, VECTOR))


@torch.no_grad()
def initialise_vectors(network: nn.Module, seed: int, stream: Stream, step: int) -> None:
    """Fill the vector of every layer with a random direction; `step` is that of the first one."""
    for place, layer in enumerate(spectral_layers(network)):
        vector = layer.get_buffer(VECTOR)
        fill_normal(vector, seed, stream, step + place, std=1.0)
        vector.copy_(functional.normalize(vector, dim=0))


class SpectralConv2d(nn.Conv2d):
    """A convolution with spectral normalisation, the weights taken as [outputs, inputs * k * k]."""

    singular_vector: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, padding: int = 0) -> None:
        super().__init__(inputs, outputs, kernel, padding=padding)
        _add_vector(self, outputs)

    def normalised_weight(self) -> Tensor:
        """Return the weights that one forward pass uses. In training this is one iteration."""
        return normalised(self.weight, self.singular_vector, iterate=self.training)

    def forward(self, input: Tensor) -> Tensor:
        maps: Tensor = self._conv_forward(input, self.normalised_weight(), self.bias)
        return maps


class SpectralLinear(nn.Linear):
    """A linear layer with spectral normalisation."""

    singular_vector: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        _add_vector(self, outputs)

    def forward(self, input: Tensor) -> Tensor:
        weight = normalised(self.weight, self.singular_vector, iterate=self.training)
        return functional.linear(input, weight, self.bias)


class SpectralEmbedding(nn.Embedding):
    """An embedding with spectral normalisation of its whole table."""

    singular_vector: Tensor

    def __init__(self, classes: int, features: int) -> None:
        super().__init__(classes, features)
        _add_vector(self, classes)

    def forward(self, input: Tensor) -> Tensor:
        weight = normalised(self.weight, self.singular_vector, iterate=self.training)
        return functional.embedding(input, weight)


def _add_vector(layer: nn.Module, outputs: int) -> None:
    layer.register_buffer(VECTOR, functional.normalize(torch.ones(outputs), dim=0))
