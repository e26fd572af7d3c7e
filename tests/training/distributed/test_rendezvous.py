"""Backends of a process group, and how a process leaves it after an error."""

import os
import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from d3gan.cli import main as program
from d3gan.training import distributed
from d3gan.training.distributed import rendezvous

CUDA = torch.device("cuda", 0)
dist: Any = rendezvous.dist


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Replace the process group of two CUDA devices; return what is called."""
    made: list[Any] = []
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "0"), ("MASTER_PORT", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rendezvous, "_device", lambda name: CUDA)
    monkeypatch.setattr(rendezvous, "_store", lambda *_: None)
    monkeypatch.setattr(rendezvous, "_check_own_device", lambda *_: None)
    monkeypatch.setattr(rendezvous, "backend_of", lambda device: "nccl")
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(rendezvous, "release_graphs", lambda: made.append("no graphs"))
    monkeypatch.setattr(rendezvous._aborted, "set", lambda: made.append("aborted"))
    monkeypatch.setattr(dist, "init_process_group", lambda backend, **_: made.append(backend))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: made.append("destroyed"))
    monkeypatch.setattr(dist.distributed_c10d, "_abort_process_group", lambda: made.append("abort"))
    return made


def test_control_messages_are_sent_by_gloo(calls: list[Any]) -> None:
    with distributed.process_group("cuda") as device:
        assert device == CUDA
    assert calls == ["cpu:gloo,cuda:nccl", "no graphs", "destroyed"]


@pytest.mark.parametrize(
    ("device", "backend", "expected"),
    [("cuda", "nccl", "cpu:gloo,cuda:nccl"), ("cuda", "gloo", "gloo"), ("cpu", "", "gloo")],
)
def test_backends(device: str, backend: str, expected: str) -> None:
    assert rendezvous._backends(torch.device(device), backend) == expected


def test_nccl_is_aborted_after_an_error(calls: list[Any]) -> None:
    with pytest.raises(ZeroDivisionError), distributed.process_group("cuda"):
        raise ZeroDivisionError
    assert calls[1:] == ["aborted", "no graphs", "abort"]


def test_gloo_is_destroyed_after_an_error(
    calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendezvous, "backend_of", lambda device: "gloo")
    with pytest.raises(ZeroDivisionError), distributed.process_group("cuda"):
        raise ZeroDivisionError
    assert calls[1:] == ["no graphs", "destroyed"]


def test_an_abort_that_hangs_or_fails_is_left_alone(
    calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendezvous, "SECONDS_TO_ABORT", 0.05)
    for abort in (lambda: time.sleep(5), lambda: 1 / 0):
        monkeypatch.setattr(dist.distributed_c10d, "_abort_process_group", abort)
        start = time.monotonic()
        with pytest.raises(KeyError), distributed.process_group("cuda"):
            raise KeyError
        assert time.monotonic() - start < 2


@pytest.mark.parametrize("aborted", [False, True])
def test_the_program_does_not_wait_for_kernels(
    aborted: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also not after an error without a line of its own."""
    left: list[int] = []
    monkeypatch.setattr(distributed, "was_aborted", lambda: aborted)
    monkeypatch.setattr(os, "_exit", left.append)
    assert program.main(["no-such-command"]) == 2
    assert left == [2] * aborted
    broken = SimpleNamespace(presets=lambda rest: 1 / 0)
    monkeypatch.setattr(program, "import_module", lambda name: broken)
    if aborted:
        assert program.main(["presets"]) == 1
        assert left == [2, 1]
        assert "ZeroDivisionError" in capsys.readouterr().err
    else:
        with pytest.raises(ZeroDivisionError):
            program.main(["presets"])


@pytest.mark.parametrize(("platform", "libuv"), [("linux", True), ("win32", False)])
def test_stores_on_windows_do_without_libuv(
    monkeypatch: pytest.MonkeyPatch, platform: str, libuv: bool
) -> None:
    """Torch for Windows is built without it, and refuses a store that asks for it."""
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(dist, "TCPStore", lambda *_, **options: made.append(options))
    monkeypatch.setattr(rendezvous.sys, "platform", platform)
    rendezvous.empty_store()
    assert [options["use_libuv"] for options in made] == [libuv]
