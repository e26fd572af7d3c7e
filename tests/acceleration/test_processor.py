"""What is known of the processor, and the precision that "auto" stands for."""

import platform

import pytest
import torch

from d3gan.acceleration import processor
from d3gan.acceleration.precision import chosen_precision
from d3gan.acceleration.processor import (
    computes_bfloat16,
    machine_key,
    processor_features,
    processor_name,
)

CPU = torch.device("cpu")


def pretend(
    monkeypatch: pytest.MonkeyPatch, *, torch_uses: str, avx512_bf16: bool, amx: bool
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: torch_uses)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)


@pytest.mark.parametrize(
    ("torch_uses", "avx512_bf16", "amx", "expected"),
    [
        ("AVX512", True, False, "bf16"),
        ("AVX512", False, True, "bf16"),
        ("AVX512", False, False, "fp32"),
        ("AVX2", True, False, "fp32"),  # torch does not use it
        ("DEFAULT", True, True, "fp32"),
    ],
)
def test_auto_is_bf16_where_the_processor_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, torch_uses: str, avx512_bf16: bool, amx: bool, expected: str
) -> None:
    pretend(monkeypatch, torch_uses=torch_uses, avx512_bf16=avx512_bf16, amx=amx)
    precision, why = chosen_precision(CPU)
    assert precision == expected
    assert computes_bfloat16(CPU) == (expected == "bf16")
    assert processor_name() in why


def test_another_number_of_threads_is_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine_key()
    assert machine_key() == here
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    assert machine_key() != here


def test_a_platform_without_cpuinfo_is_named_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "_cpuinfo", dict)
    assert processor_name() in (platform.processor(), platform.machine())
    assert processor_features()[-1].startswith("torch: ")
