"""Batch norm over all ranks, with one rank that stands for all."""

import pytest
import torch

from d3gan.networks.norms import make_norm


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_statistics_are_exact_in_every_type(dtype: torch.dtype, affine: bool) -> None:
    """257 pixels of each channel: bfloat16 would count 256."""
    x = torch.randn(257, 3, 1, 1, generator=torch.Generator().manual_seed(0)).to(dtype)
    sync, batch = (
        make_norm(name, 3, running_statistics=True, affine=affine) for name in ("sync", "batch")
    )
    if dtype == torch.float64:
        sync.double(), batch.double()
    sync.sum_over_ranks = lambda total: total * 1.0  # type: ignore[assignment]
    found, expected = sync(x), batch(x)
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(sync.running_mean, batch.running_mean)
    torch.testing.assert_close(sync.running_var, batch.running_var)
