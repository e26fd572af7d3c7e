"""SHA-256 of the files of a source, kept in the cache until a file changes."""

import errno
import hashlib
import os
import re
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from d3gan.files import touch, write_text

UNREADABLE = b"unreadable"
"""What stands in the digest for the content of a file that cannot be read."""


def content_digest(files: Iterable[Path], folder: Path) -> str:
    """Return the SHA-256 of the content of all files.

    They are read again only if the path, the size or the modification time of one of them changes,
    or if what the cache `folder` keeps is damaged. A file that cannot be read is part of the digest
    as such; decoding says why. Raises OSError if the cache cannot be written.
    """
    files = list(files)
    manifest = hashlib.sha256()
    for file in files:
        manifest.update(os.fsencode(file.absolute()))
        with suppress(OSError, RuntimeError):  # of a link to itself
            manifest.update(b"\0" + os.fsencode(file.resolve()))
            status = file.stat()
            manifest.update(f"\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    known = folder / "digests" / manifest.hexdigest()[:32]
    if digest := _read(known):
        touch(known)
        return digest
    known.parent.mkdir(exist_ok=True)
    if not os.access(known.parent, os.W_OK):  # before files are read, which may take long
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(known.parent))
    content, complete = hashlib.sha256(), True
    for file in files:
        try:
            with file.open("rb") as stream:
                content.update(hashlib.file_digest(stream, "sha256").digest())
        except OSError:
            content.update(UNREADABLE)
            complete = False
    digest = content.hexdigest()
    if complete:  # permission may be given without a change of the file
        with suppress(OSError):  # of a full disk; decoding says how much space is needed
            write_text(known, f"{digest} {zlib.crc32(digest.encode()):08x}\n", flush=False)
    return digest


def _read(known: Path) -> str:
    """Return the digest in a file of the cache; "" if there is none, or a damaged one."""
    try:
        found = re.fullmatch(r"([0-9a-f]{64}) ([0-9a-f]{8})\n", known.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return ""
    if found is None or int(found[2], 16) != zlib.crc32(found[1].encode()):
        return ""
    return found[1]
