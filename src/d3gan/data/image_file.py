"""A .npy file of decoded images: written block by block, and mapped into the memory of readers.

It is written like any other file, not through a memory map: with a full disk, a map ends the
process by a signal (SIGBUS), and a write raises OSError.
"""

import zlib
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from d3gan.files import reserve, share
from d3gan.images import Images

Shape = tuple[int, ...]

BLOCK = 2**22
"""Bytes that are read at once."""


class ImageFile:
    """A new file of images uint8 [M, C, H, W] of at most the given shape.

    Its space on the disk is reserved first. Raises OSError.
    """

    def __init__(self, file: Path, shape: Shape) -> None:
        self._shape, self.count, self.crc32 = shape, 0, 0
        self._stream = file.open("wb")
        try:
            header = _header(shape)
            reserve(self._stream, file.parent, len(header) + int(np.prod(shape)))
            self._stream.write(header)
        except BaseException:
            self._stream.close()
            raise

    def write(self, images: Images) -> None:
        """Append images [B, C, H, W]."""
        data = np.ascontiguousarray(images).data
        self.crc32 = zlib.crc32(data, self.crc32)
        self._stream.write(data)
        self.count += len(images)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file, with the shape of what was written."""
        with self._stream:
            if error is None and self.count != self._shape[0]:
                self._stream.truncate()
                self._stream.seek(0)
                self._stream.write(_header((self.count, *self._shape[1:])))


def _header(shape: Shape) -> bytes:
    """Return the start of the file; NumPy makes it as long for any number of images."""
    stream = BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue()


def map_images(file: Path) -> Images:
    """Return the images of a file as a read-only memory map.

    The file counts as in use (`files.is_shared`) as long as the map exists. Raises OSError or
    ValueError if the file is damaged.
    """
    with file.open("rb") as stream:
        share(stream)
        np.lib.format.read_magic(stream)
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        # Read-only: a private writable map would be charged to the memory like a copy.
        return np.memmap(stream, dtype, "r", stream.tell(), shape)


def crc32_of(file: Path) -> int:
    """Return the CRC-32 of the pixels in a file.

    A process reads a file again only if it has changed.
    """
    status = file.stat()
    return _crc32_of(file, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@lru_cache(maxsize=256)
def _crc32_of(file: Path, *version: int) -> int:
    crc32, buffer = 0, bytearray(BLOCK)
    with file.open("rb", buffering=0) as stream:
        np.lib.format.read_magic(stream)
        np.lib.format.read_array_header_1_0(stream)
        while count := stream.readinto(buffer):
            crc32 = zlib.crc32(memoryview(buffer)[:count], crc32)
    return crc32
