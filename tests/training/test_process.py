import pytest
import torch

from d3gan.training import process


@pytest.mark.parametrize(
    ("before", "cpus", "variable", "after"),
    [
        (4, 2, None, 2),  # a quota of fewer CPUs than the machine has cores
        (4, 2, "4", 4),  # the user's choice
        (1, 2, None, 1),  # never more than before
    ],
)
def test_threads_are_limited_to_the_usable_cpus(
    before: int, cpus: int, variable: str | None, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    monkeypatch.setattr(process, "usable_cpus", lambda: cpus)
    original = torch.get_num_threads()
    try:
        torch.set_num_threads(before)
        process.limit_threads()
        assert torch.get_num_threads() == after
    finally:
        torch.set_num_threads(original)
