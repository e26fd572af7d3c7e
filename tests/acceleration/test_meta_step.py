"""Operations of a whole training step, counted on the device "meta", which computes nothing.

On a GPU every operation is a kernel that is launched, or a node of the CUDA graph, so more of them
make every step slower. The device also refuses to give numbers to the host, for which a GPU would
wait. After a change that is meant to add operations, `python -m tests.acceleration.test_meta_step`
prints the new table.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.optim import adam
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from d3gan import config as configs
from d3gan.acceleration import precision as precisions
from d3gan.acceleration.precision import RoundedProducts
from d3gan.config import Config
from d3gan.config_files import load_preset
from d3gan.training.engine import Engine
from d3gan.training.state import make_state

META = torch.device("meta")

MOST_OPERATIONS: dict[tuple[int, bool, str], int] = {
    (1, False, "fp32"): 187,
    (2, False, "fp32"): 284,
    (4, False, "fp32"): 404,
    (1, True, "fp32"): 498,
    (2, True, "fp32"): 901,
    (4, True, "fp32"): 1_619,
    (1, False, "bf16"): 223,
    (2, False, "bf16"): 330,
    (4, False, "bf16"): 470,
    (1, True, "bf16"): 553,
    (2, True, "bf16"): 985,
    (4, True, "bf16"): 1_761,
}
"""Most operations of a step of cifar10-d3gan: by discriminators, with R1 or not, and precision."""

COUNTED_WITH = "2.13."
"""Version of torch that gave the table; others may compose a function of more operations."""

WITHOUT_KERNEL = (
    "alias", "as_strided", "detach", "expand", "permute", "select", "slice", "split", "squeeze",
    "t", "transpose", "unbind", "unsqueeze", "view", "_unsafe_view",
    "empty", "empty_like", "new_empty", "empty_strided", "split_with_sizes", "unsafe_split",
)  # fmt: skip
"""Operations that launch nothing: views, and memory that is not filled."""


class Counting(TorchDispatchMode):
    """Counts operations that launch a kernel. Reads of numbers by the host fail on "meta"."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name not in WITHOUT_KERNEL:
            self.counts[name] += 1
        if name == "_fused_adam_":  # in place; not implemented on "meta"
            return None
        return func(*args, **(kwargs or {}))


class HostCopies(TorchFunctionMode):
    """Collects calls that make a tensor on the device from numbers on the host: blocking copies."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made: Any = func(*args, **(kwargs or {}))
        makers = (torch.tensor, torch.as_tensor, torch.asarray, torch.scalar_tensor)
        if func in makers and made.device == META and not on_meta(args[0]):
            self.found.append(f"{func.__name__}{args}")
        return made


def on_meta(x: Any) -> bool:
    return isinstance(x, Tensor) and x.device == META


class CastProducts(TorchFunctionMode):
    """Casts the factors of products to bfloat16, each weight once, as autocast does on CUDA."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.cast: dict[int, Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in RoundedProducts.PRODUCTS:
            args = [self._cast(x) if isinstance(x, Tensor) else x for x in args]
        return func(*args, **(kwargs or {}))

    def _cast(self, x: Tensor) -> Tensor:
        if not x.is_leaf:
            return x.bfloat16()
        if id(x) not in self.cast:
            self.cast[id(x)] = x.bfloat16()
        return self.cast[id(x)]


@contextmanager
def patched() -> Iterator[None]:
    """Let the engine run on the device "meta"."""

    def mixed_precision(device: torch.device) -> AbstractContextManager[Any]:
        return CastProducts()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adam, "_device_dtype_check_for_fused", lambda *_, **__: None)
        patch.setattr(precisions, "mixed_precision", mixed_precision)
        yield


def made(discriminators: int, precision: str, **sections: dict[str, Any]) -> Engine:
    """Return an engine on "meta" with the static step that a CUDA device records."""
    small = {"generator_width": 8, "discriminator_width": 8}
    config: Config = configs.from_dict(
        {
            "data": {"resident": "always"},
            "gan": {"discriminators": discriminators},
            "model": small,
            "train": {"precision": precision, "batch_size": 8},
        },
        load_preset("cifar10-d3gan"),
    )
    config = configs.validate(configs.from_dict(sections, config))
    images = np.zeros((16, 3, 32, 32), np.uint8)
    state = make_state(config, META, initialise=False)
    return Engine(config, state, images, META, graph=True)


def counted(engine: Engine) -> tuple[Counter[str], list[str]]:
    """Return the operations of the part of a step that is recorded, and copies from the host."""
    with Counting() as counting, HostCopies() as copies:
        engine.step()  # the inputs get their places
        counting.counts.clear(), copies.found.clear()
        assert engine._static is not None
        engine._static._whole_step()
    return counting.counts, copies.found


def operations(discriminators: int, r1: bool, precision: str) -> Counter[str]:
    penalties = {"penalties": ["r1(gamma=1.0)"] if r1 else []}
    with patched():
        found, _ = counted(made(discriminators, precision, gan=penalties))
    return found


CASES = [(n, r1, kind) for kind in ("fp32", "bf16") for r1 in (False, True) for n in (1, 2, 4)]


@pytest.mark.parametrize(("discriminators", "r1", "precision"), CASES)
def test_a_step_has_no_more_operations(discriminators: int, r1: bool, precision: str) -> None:
    found = operations(discriminators, r1, precision)
    most = MOST_OPERATIONS[discriminators, r1, precision]
    tolerance = 1.0 if torch.__version__.startswith(COUNTED_WITH) else 1.1
    assert found.total() <= tolerance * most, found.most_common()


@pytest.mark.parametrize("graph", [True, False])
def test_a_step_moves_no_number_between_host_and_device(graph: bool) -> None:
    """Everything that differs between steps, and every kind of random number."""
    sections = {
        "gan": {
            "aggregation": "random",
            "augmentations": ["color", "translation", "cutout"],
            "augmentation_probability": 0.5,
            "penalties": ["r1", "wgan_gp"],
        },
        "optim": {"ema_half_life_images": 1000.0},
    }
    with patched(), Counting(), HostCopies() as copies:
        engine = made(2, "fp32", **sections)
        if graph:
            _, found = counted(engine)
        else:
            engine._static = None
            real = torch.zeros(8, 3, 32, 32, device=META)
            engine.real_images = lambda number: (real, None)  # type: ignore[method-assign]
            engine.step()
            copies.found.clear()
            engine.step()
            found = copies.found
    assert not found


def test_reads_and_copies_are_detected() -> None:
    x = torch.zeros(3, device="meta")
    with pytest.raises((RuntimeError, NotImplementedError)):
        x.sum().item()
    with HostCopies() as copies:
        torch.as_tensor(3, device="meta")
        torch.as_tensor(x)
    assert len(copies.found) == 1


if __name__ == "__main__":
    for case in CASES:
        text = str(case).replace("'", '"')
        print(f"    {text}: {operations(*case).total():_},")
