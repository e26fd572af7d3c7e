"""d3gan cache and d3gan cache clear."""

import sys
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import tyro
from rich.table import Column, Table

from d3gan.cli.parsing import parse, subcommand
from d3gan.cli.printing import STANDARD_OUTPUT, check_json, print_table, write_json
from d3gan.data.cache_contents import (
    ALL_KINDS,
    IN_MEMORY,
    UNFINISHED,
    Stored,
    contents,
    delete,
    is_in_use,
)
from d3gan.data.locations import cache_folder
from d3gan.errors import UserError
from d3gan.files import size_text

Kind = Literal[
    "images", "in-memory", "classifiers", "statistics", "weights", "kernels", "digests",
    "unfinished",
]  # fmt: skip

KIND_TEXTS = {
    "images": ("decoded images", "decoded, and if necessary downloaded, again"),
    IN_MEMORY: ("image sets given from Python", "runs on them cannot be resumed"),
    "classifiers": ("classifiers for metrics", "trained again"),
    "statistics": ("features of real images", "computed again"),
    "weights": ("networks for FID", "downloaded again"),
    "kernels": ("measurements of kernels", "measured again"),
    "digests": ("checksums of image folders", "all files are read again"),
    UNFINISHED: ("files of processes that ended early", "nothing is lost"),
}
"""What the things of each kind are, and what deleting them costs."""

KINDS_HELP = "\n".join(
    ["Kinds, and what deleting them costs:", ""]
    + [f"  {kind:<12} {what}; {cost}" for kind, (what, cost) in KIND_TEXTS.items()]
    + [""]
)

ACTIONS = ("list", "clear")


def cache(arguments: list[str]) -> int:
    """List or clear the cache."""
    action, rest = subcommand(ACTIONS, arguments, "cache", default="list")
    if action == "clear":
        parse(_clear, rest, "cache clear", epilog=KINDS_HELP)
    else:
        parse(_list, rest, "cache list")
    return 0


def _list(json: str = "") -> None:
    """List what the cache holds: decoded images, and results that take long to compute.

    To delete it: d3gan cache clear --help.

    Args:
        json: Write the list as JSON to this file; with "-", print only that JSON.
    """
    check_json(json)
    found = contents(cache_folder())
    if json:
        write_json([_values(stored) for stored in found], json)
    if json != STANDARD_OUTPUT:
        _print(found)


def _clear(
    kinds: Annotated[
        tuple[Kind, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[KIND ...]")
    ] = (),
    older_than: float = 0.0,
    yes: bool = False,
) -> None:
    """Delete what the cache holds. It is computed or downloaded again when it is needed.

    What running processes use is kept, and so is every file that d3gan has not written. Images that
    were given from Python are deleted only if their kind, in-memory, is named, because runs cannot
    be resumed until they are given again.

    Args:
        kinds: What to delete, such as statistics; all but in-memory, if no kind is named.
        older_than: Delete only what was last used more than this number of days ago.
        yes: Delete without asking.
    """
    if older_than < 0:
        raise UserError(f"older_than = {older_than:g}: must be at least 0 days")
    wanted: tuple[str, ...] = kinds or tuple(kind for kind in ALL_KINDS if kind != IN_MEMORY)
    chosen = [
        stored
        for stored in contents(cache_folder())
        if stored.kind in wanted and stored.days_unused >= older_than
    ]
    if not chosen:
        print(f"nothing to delete in {cache_folder()}")
        return
    if not yes and not _confirmed(chosen):
        print("nothing was deleted")
        return
    try:
        deleted, kept = delete(chosen)
    except OSError as error:
        raise UserError(f"cannot delete {error.filename}: {error.strerror}") from error
    print(f"deleted {_counted(deleted)}")
    if kept:
        print(f"kept {_counted(kept)}, which running processes use")


def _confirmed(chosen: list[Stored]) -> bool:
    what = f"{_counted(chosen)} in {cache_folder()}"
    if not sys.stdin.isatty():
        raise UserError(f"this deletes {what}; add --yes to delete without being asked")
    return input(f"delete {what}? [y/N] ").strip().lower() in ("y", "yes")


def _counted(found: list[Stored]) -> str:
    entries = "1 entry" if len(found) == 1 else f"{len(found):,} entries"
    return f"{entries} ({size_text(sum(stored.size_bytes for stored in found))})"


def _values(stored: Stored) -> dict[str, Any]:
    """Return plain values for JSON."""
    return {
        "kind": stored.kind,
        "path": str(stored.path),
        "bytes": stored.size_bytes,
        "last_used": datetime.fromtimestamp(stored.last_used, UTC).isoformat(timespec="seconds"),
        "in_use": is_in_use(stored),
        "source": stored.source or None,
        "split": stored.split or None,
        "shape": list(stored.shape) or None,
    }


def _print(found: list[Stored]) -> None:
    """Print a row for each set of images, and one for each other kind."""
    right: Any = {"justify": "right", "no_wrap": True}
    table = Table(
        Column("kind", no_wrap=True),
        Column("content", overflow="fold"),
        Column("size", **right),
        Column("last used", **right),
        box=None,
        pad_edge=False,
    )
    for kind in ALL_KINDS:
        of_kind = [stored for stored in found if stored.kind == kind]
        if kind == "images":
            for stored in of_kind:
                table.add_row(kind, _content(stored), size_text(stored.size_bytes), _when(stored))
        elif of_kind:
            size = sum(stored.size_bytes for stored in of_kind)
            newest = max(of_kind, key=lambda stored: stored.last_used)
            table.add_row(
                kind, f"{KIND_TEXTS[kind][0]}: {len(of_kind):,}", size_text(size), _when(newest)
            )
    if found:
        print_table(table)
        print()
    total = size_text(sum(stored.size_bytes for stored in found))
    print(f"{total} in {cache_folder()}\nTo delete it or a part of it: d3gan cache clear")


def _content(stored: Stored) -> str:
    if not stored.shape:
        return "of an older version"
    count, *sides = stored.shape
    channels, *pixels = sides
    colour = ", grey" if channels == 1 else ""
    return (
        f"{stored.source} {stored.split}: {count:,} images, {' x '.join(map(str, pixels))}{colour}"
    )


def _when(stored: Stored) -> str:
    days = int(stored.days_unused)
    return {0: "today", 1: "1 day ago"}.get(days, f"{days} days ago")
