"""Merges the discriminators of several ranks into one checkpoint, and splits them again.

A checkpoint is the same file however many ranks held the discriminators.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

SHARED = ("discriminators", "optimizer_d", "parameters_per_discriminator")
"""Keys of a state that differ between ranks; all others are the same on every rank."""

Saved = Mapping[str, Any]


def merge_shares(shares: Sequence[Saved]) -> dict[str, Any]:
    """Return the state of all discriminators and their optimizer from the shares, in order."""
    networks: dict[str, Any] = {}
    states: dict[int, Any] = {}
    counts: list[int] = []
    for share in shares:
        networks |= _renumbered(share["discriminators"], len(counts))
        states |= {sum(counts) + i: state for i, state in share["optimizer_d"]["state"].items()}
        counts += share["parameters_per_discriminator"]
    group = shares[0]["optimizer_d"]["param_groups"][0] | {"params": list(range(sum(counts)))}
    return {
        "discriminators": networks,
        "optimizer_d": {"state": states, "param_groups": [group]},
        "parameters_per_discriminator": counts,
    }


def select_share(saved: Saved, members: range) -> dict[str, Any]:
    """Return the state of the discriminators `members` only, the inverse of `merge_shares`."""
    networks, optimizer = saved["discriminators"], saved["optimizer_d"]
    (group,) = optimizer["param_groups"]
    counts = saved.get("parameters_per_discriminator") or _equal_counts(networks, group)
    ends = [0, *accumulate(counts)]
    wanted = range(ends[members.start], ends[members.stop])
    states = {i - wanted.start: s for i, s in optimizer["state"].items() if i in wanted}
    group = group | {"params": list(range(len(wanted)))}
    return {
        "discriminators": select_discriminators(networks, members),
        "optimizer_d": {"state": states, "param_groups": [group]},
        "parameters_per_discriminator": counts[members.start : members.stop],
    }


def select_discriminators(networks: Saved, members: range) -> dict[str, Any]:
    """Return the weights of the discriminators `members`, renumbered from 0."""
    mine = {name: x for name, x in networks.items() if _member(name) in members}
    return _renumbered(mine, -members.start)


def count_discriminators(networks: Saved) -> int:
    """Return the number of discriminators whose weights these are."""
    return len({_member(name) for name in networks})


def _equal_counts(networks: Saved, group: Saved) -> list[int]:
    """Return the parameters per discriminator of an older checkpoint, where all are alike."""
    members = count_discriminators(networks)
    return [len(group["params"]) // members] * members


_NAME = re.compile(r"members\.(\d+)\.(.*)")


def _member(name: str) -> int:
    match = _NAME.fullmatch(name)
    assert match
    return int(match[1])


def _renumbered(networks: Saved, by: int) -> dict[str, Any]:
    return {
        _NAME.sub(lambda m: f"members.{int(m[1]) + by}.{m[2]}", n): x for n, x in networks.items()
    }
