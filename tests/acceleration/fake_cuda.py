"""Stand-ins for the parts of torch.cuda that record graphs, for tests without a device."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

INVALIDATED = "operation failed due to a previous error during capture"


class Stream:
    def __init__(self, name: str = "side") -> None:
        self.name = name

    def wait_stream(self, other: "Stream") -> None:
        pass


class FakeCuda:
    """What torch.cuda does when it records a graph, and what the allocator believes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stream = self.default = Stream("default")
        self.recording = False
        self.modes: list[str] = []
        self.ended: list[object] = []
        self.released: list[object] = []
        self.emptied = 0
        self.end_fails = True
        """Whether ending a recording that failed raises, as it does after an illegal call."""
        fake = self

        class Graph:
            def __init__(self) -> None:
                self.replays = 0
                self.was_reset = False

            def replay(self) -> None:
                self.replays += 1

            def reset(self) -> None:
                self.was_reset = True

        class Recording:
            def __init__(
                self, graph: Graph, pool: object, stream: Stream, capture_error_mode: str
            ) -> None:
                self.stream = stream
                fake.modes.append(capture_error_mode)

            def __enter__(self) -> None:
                fake.recording, fake.stream = True, self.stream

            def __exit__(self, kind: Any, *rest: object) -> None:
                fake.recording = False
                if kind is not None and fake.end_fails:  # torch leaves its stream behind
                    fake.stream = Stream("left behind")
                    raise RuntimeError(INVALIDATED)

        def end(device: int, pool: object) -> None:
            fake.ended.append(pool)

        def emptied() -> None:
            fake.emptied += 1

        replaced: dict[str, Callable[..., Any] | type] = {
            "Stream": Stream,
            "current_stream": lambda: fake.stream,
            "set_stream": lambda stream: setattr(fake, "stream", stream),
            "current_device": lambda: 0,
            "CUDAGraph": Graph,
            "graph_pool_handle": object,
            "graph": Recording,
            "empty_cache": emptied,
        }
        for name, value in replaced.items():
            monkeypatch.setattr(torch.cuda, name, value)
        release = self.released.append
        monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", end, raising=False)
        monkeypatch.setattr(
            torch._C, "_cuda_releasePool", lambda device, pool: release(pool), raising=False
        )
