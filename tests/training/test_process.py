import pytest
import torch
from tests.program import run_code

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


@pytest.mark.parametrize("deterministic", [False, True])
def test_settings_are_restored(deterministic: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv(process.CUBLAS_WORKSPACE, raising=False)
    monkeypatch.setattr(process, "usable_cpus", lambda: 1)
    original = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        torch.use_deterministic_algorithms(not deterministic)
        random = torch.get_rng_state()
        with process.process_settings(deterministic=deterministic):
            assert torch.get_num_threads() == 1
            assert torch.are_deterministic_algorithms_enabled() is deterministic
            torch.rand(1)
        assert torch.get_num_threads() == 3
        assert torch.are_deterministic_algorithms_enabled() is not deterministic
        assert process.CUBLAS_WORKSPACE not in process.os.environ
        assert torch.equal(torch.get_rng_state(), random)
    finally:
        torch.set_num_threads(original)


def test_torchs_compiler_is_not_imported_to_choose_algorithms() -> None:
    code = """
import sys
from d3gan.training.process import process_settings
with process_settings(deterministic=False):
    assert "torch._inductor" not in sys.modules
"""
    assert run_code(code).returncode == 0
