"""The processor of this machine, as far as the speed of computation depends on it."""

import hashlib
import platform
from functools import cache
from pathlib import Path

import torch

FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16")
"""Features that are named, as Linux calls them."""


@cache
def _cpuinfo() -> dict[str, str]:
    """Return the first processor's lines of /proc/cpuinfo; nothing where there is no such file."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def processor_name() -> str:
    """Return the model of the processor, or what the platform says of it."""
    return _cpuinfo().get("model name", "") or platform.processor() or platform.machine()


def processor_features() -> list[str]:
    """Return the features of `FEATURES` that the processor has, and those that torch uses."""
    flags = _cpuinfo()
    found = (flags.get("flags", "") + " " + flags.get("Features", "")).split()
    named = [name for name in FEATURES if name in found]
    return [*named, f"torch: {torch.backends.cpu.get_cpu_capability()}"]


def computes_bfloat16(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 numbers faster than float32 ones.

    CPUs: AVX512_BF16 or AMX. CUDA: compute capability 8.0 or higher.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu" or torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2"):
        return False
    # torch asks the processor; its names for that may change.
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, test, lambda: False)() for test in tests)


def machine_key() -> str:
    """Return a name for everything on which the speed of a kernel depends, apart from its work."""
    facts = (
        torch.__version__,
        processor_name(),
        *processor_features(),
        str(torch.get_num_threads()),
    )
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
