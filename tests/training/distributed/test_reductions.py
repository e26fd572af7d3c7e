import pytest
import torch

from d3gan.training.distributed.reductions import with_strides_of


@pytest.mark.parametrize("shape", [(4, 1, 4, 4), (8, 3, 1, 1), (1, 8, 2, 2)])
def test_strides_of_dimensions_of_size_1_become_those_of_the_parameter(
    shape: tuple[int, ...],
) -> None:
    parameter = torch.zeros(shape).to(memory_format=torch.channels_last)
    values = torch.arange(parameter.numel(), dtype=torch.float32).view(shape)
    gradient = torch.empty_like(parameter).copy_(values)
    other = gradient.as_strided(
        shape, [s if n > 1 else 7 for n, s in zip(shape, gradient.stride(), strict=True)]
    )
    assert other.stride() != parameter.stride()
    same = with_strides_of(parameter, other)
    assert same.stride() == parameter.stride()
    assert same.data_ptr() == other.data_ptr()
    assert torch.equal(same, values)


def test_another_order_of_memory_is_left_to_autograd() -> None:
    parameter = torch.zeros(4, 1, 3, 2).to(memory_format=torch.channels_last)
    gradient = torch.zeros(4, 1, 2, 3).transpose(2, 3)
    assert with_strides_of(parameter, gradient) is gradient
