"""Shares of the discriminators, each held by another process, and all of them as saved together.

A checkpoint is the same file however many processes held them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

SHARED = ("discriminators", "optimizer_d")
"""What is shared out; the rest is the same on every process."""

Saved = Mapping[str, Any]


def whole(shares: Sequence[Saved]) -> dict[str, Any]:
    """The state of all discriminators and their optimizer from that of the shares, in order."""
    networks: dict[str, Any] = {}
    states: dict[int, Any] = {}
    first, parameters = 0, 0
    for share in shares:
        networks |= _renumbered(share["discriminators"], first)
        optimizer = share["optimizer_d"]
        states |= {parameters + i: state for i, state in optimizer["state"].items()}
        first += _count(share["discriminators"])
        parameters += len(optimizer["param_groups"][0]["params"])
    group = shares[0]["optimizer_d"]["param_groups"][0] | {"params": list(range(parameters))}
    return {
        "discriminators": networks,
        "optimizer_d": {"state": states, "param_groups": [group]},
    }


def share_of(saved: Saved, members: range) -> dict[str, Any]:
    """The inverse of `whole`: the state of the discriminators `members` alone."""
    networks, optimizer = saved["discriminators"], saved["optimizer_d"]
    mine = {name: x for name, x in networks.items() if _member(name) in members}
    (group,) = optimizer["param_groups"]
    each = len(group["params"]) // _count(networks)
    wanted = range(members.start * each, members.stop * each)
    states = {i - wanted.start: s for i, s in optimizer["state"].items() if i in wanted}
    return {
        "discriminators": _renumbered(mine, -members.start),
        "optimizer_d": {
            "state": states,
            "param_groups": [group | {"params": list(range(len(wanted)))}],
        },
    }


_NAME = re.compile(r"members\.(\d+)\.(.*)")


def _member(name: str) -> int:
    match = _NAME.fullmatch(name)
    assert match
    return int(match[1])


def _count(networks: Saved) -> int:
    return len({_member(name) for name in networks})


def _renumbered(networks: Saved, by: int) -> dict[str, Any]:
    return {
        _NAME.sub(lambda m: f"members.{int(m[1]) + by}.{m[2]}", n): x for n, x in networks.items()
    }
