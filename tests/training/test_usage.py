"""Memory and computing time of a process."""

import time

import pytest
import torch

from d3gan.training.usage import Utilisation, cuda_utilisation, peak_memory_bytes

CPU = torch.device("cpu")


def test_peak_memory_is_that_of_this_process() -> None:
    before = peak_memory_bytes(CPU)
    if before is None:
        pytest.skip("this system does not report it")
    held = torch.ones(before // 4 + 50_000_000)  # four bytes each: more than the peak so far
    after = peak_memory_bytes(CPU)
    assert after is not None
    assert after >= held.nbytes > before


def test_utilisation_is_computing_time_over_wall_time() -> None:
    with Utilisation(CPU) as idle:
        time.sleep(0.3)
    with Utilisation(CPU) as busy:
        start = time.process_time()
        while time.process_time() - start < 0.1:
            pass
    assert idle.share is not None
    assert busy.share is not None
    assert idle.share < 0.3 < 5 * busy.share


@pytest.mark.parametrize("error", [RuntimeError, ModuleNotFoundError, KeyError])
def test_utilisation_is_unknown_where_nvml_refuses(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """NVML answers that the query is not supported on a part of a device (MIG)."""

    def refuse(device: torch.device) -> int:
        raise error("not supported")

    monkeypatch.setattr(torch.cuda, "utilization", refuse)
    assert cuda_utilisation(torch.device("cuda")) is None
    with Utilisation(torch.device("cuda")) as usage:
        time.sleep(0.1)
    assert usage.share is None
