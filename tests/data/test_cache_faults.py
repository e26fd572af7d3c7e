"""The cache survives full disks, killed processes and damaged files, and says what it did."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.program import finish, run_code, start_process, wait_for

from d3gan import files
from d3gan.config import DataConfig
from d3gan.data import cache_entry
from d3gan.data.cache import ImageSet, load_images
from d3gan.errors import UserError
from d3gan.files import is_shared, size_text


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Folder of 6 images whose pixels differ."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for value in range(6):
        Image.new("L", (16, 16), value).save(folder / f"{value}.png")
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("D3GAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def load(source: Path, limit: int = 0) -> ImageSet:
    return load_images(DataConfig(str(source), resolution=16, channels=1, limit=limit))


def means(source: Path) -> list[int]:
    return [int(image.mean()) for image in load(source).images]


def entry_files(cache: Path) -> dict[str, Path]:
    (entry,) = cache.glob("images/*/")
    return {file.name: file for file in entry.iterdir()}


def flip(file: Path, where: int | bytes) -> None:
    """Change one bit of a file, whose size and modification time stay the same."""
    status, data = file.stat(), bytearray(file.read_bytes())
    position = where if isinstance(where, int) else data.index(where)
    data[position] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("name", "where"),
    [("images.npy", -1), ("images.npy", 0), ("images.npy", 64), ("facts.npz", b"\xff" * 48)],
)  # fmt: skip
def test_one_wrong_bit_is_found_and_the_images_are_decoded_again(
    name: str, where: int | bytes, source: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = load(source)
    flip(entry_files(cache)[name], where)
    capsys.readouterr()
    assert means(source) == list(range(6))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"d3gan: warning: the cached images of {source} are damaged (")
    assert line.endswith("); they are decoded again")
    again = load(source)
    assert (again.digest, again.labels.tolist()) == (before.digest, before.labels.tolist())
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["images.npy", "facts.npz"])
@pytest.mark.parametrize("content", ["", "cut", "gone"])
def test_empty_cut_and_missing_files_of_an_entry(
    name: str, content: str, source: Path, cache: Path
) -> None:
    load(source)
    file = entry_files(cache)[name]
    if content == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:150] if content else b"")
    assert means(source) == list(range(6))


def test_a_subset_is_not_copied_from_damaged_images(source: Path, cache: Path) -> None:
    load(source)
    flip(entry_files(cache)["images.npy"], -257)
    images = load(source, limit=5).images
    assert 4 in images, "the damaged image is one of the subset"
    assert (images == images[:, :, :1, :1]).all()


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff", None])
def test_a_damaged_digest_is_computed_again(
    content: bytes | None, source: Path, cache: Path
) -> None:
    before = load(source).digest
    (file,) = cache.glob("digests/*")
    if content is None:  # another digit
        data = file.read_bytes()
        content = (b"1" if data[:1] == b"0" else b"0") + data[1:]
    file.write_bytes(content)
    assert load(source).digest == before
    assert file.read_text().startswith(before)


def test_the_files_are_not_read_again_for_their_digest(
    source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(source)
    monkeypatch.setattr("hashlib.file_digest", None)
    load(source)


def test_an_entry_of_an_older_version_is_replaced(source: Path, cache: Path) -> None:
    load(source)
    entry_files(cache)["facts.npz"].unlink()
    entry_files(cache)["entry.json"].unlink()
    assert means(source) == list(range(6))
    assert set(entry_files(cache)) == {"images.npy", "facts.npz", "entry.json"}


# Space


def test_the_space_is_reserved_before_an_image_is_decoded(
    source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")

    def refuse(*arguments: object) -> None:
        raise full

    monkeypatch.setattr(files, "_allocate", refuse)
    monkeypatch.setattr(cache_entry, "decode_all", None)  # would fail
    with pytest.raises(UserError) as caught:
        load(source)
    assert "No space left on device (1.7 kB are needed, " in str(caught.value)
    assert "are free); free some space (d3gan cache), or set the environment" in str(caught.value)
    assert "D3GAN_CACHE to another folder" in str(caught.value)
    assert list(cache.glob("images/*/")) == []
    monkeypatch.undo()
    monkeypatch.setenv("D3GAN_CACHE", str(cache))
    assert means(source) == list(range(6))


def test_file_systems_that_cannot_allocate_are_filled_with_zeros(
    source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    assert means(source) == list(range(6))
    file = cache.parent / "new"
    with file.open("wb") as stream:
        files.reserve(stream, cache.parent, 3 * 2**20 + 5)
        assert stream.tell() == 0
    assert file.stat().st_size == 3 * 2**20 + 5


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
from d3gan.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files as POSIX does")
def test_too_little_space_is_one_line_from_outside(tmp_path: Path) -> None:
    """5,000 digits of 32 x 32 need 5 MB, and files may have 1 MB."""
    result = run_code(LIMITED, "data", "prepare", "digits", D3GAN_CACHE=str(tmp_path / "cache"))
    assert result.returncode == 2, result
    (line,) = result.stderr.splitlines()
    assert line.startswith("d3gan: error: cannot decode digits into the cache ")
    assert "(5.1 MB are needed, " in line
    assert "D3GAN_CACHE" in line
    assert list((tmp_path / "cache/images").glob("*/")) == []


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs namespaces of Linux")
def test_a_full_file_system_is_one_line_from_outside(tmp_path: Path) -> None:
    mounted = tmp_path / "small"
    mounted.mkdir()
    inside = f"mount -t tmpfs -o size=3m tmpfs {mounted} && exec "
    program = f"{sys.executable} -m d3gan data prepare digits"
    namespace = ["unshare", "-rm", "sh", "-c"]
    if subprocess.run([*namespace, f"{inside} true"], capture_output=True).returncode:
        pytest.skip("this machine allows no file system of one's own")
    process = start_process([*namespace, inside + program], D3GAN_CACHE=str(mounted / "cache"))
    result = finish(process, timeout=120)
    assert result.returncode == 2, result
    (line,) = result.stderr.splitlines()
    assert "No space left on device (5.1 MB are needed, 3.1 MB are free)" in line, line


def test_sizes_for_people() -> None:
    sizes = [0, 999, 1000, 153_600_000, 1_500_000_000, 2 * 10**16]
    expected = ["0 bytes", "999 bytes", "1.0 kB", "153.6 MB", "1.5 GB", "20000.0 TB"]
    assert [size_text(size) for size in sizes] == expected


# Other processes


SLOW = """
import sys, time
from d3gan.data import decode
original = decode.to_array
def slow(*arguments):
    print("decoding", flush=True)
    time.sleep(60)
decode.to_array = slow
from d3gan.cli.main import main
main(sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills as POSIX does")
def test_what_a_killed_process_leaves_is_removed(source: Path, cache: Path) -> None:
    arguments = ["data", "prepare", source, "--resolution", "16", "--channels", "1"]
    process = start_process([sys.executable, "-c", SLOW, *arguments], D3GAN_CACHE=str(cache))
    wait_for(lambda: list(cache.glob("images/*.tmp/images.npy")), process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    assert list(cache.glob("images/*.tmp"))
    assert means(source) == list(range(6))
    assert list(cache.glob("images/*.tmp")) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows deletes no open file")
def test_mapped_images_count_as_in_use(source: Path, cache: Path) -> None:
    images = load(source).images
    file = entry_files(cache)["images.npy"]
    assert is_shared(file)
    assert isinstance(images, np.memmap)
    del images
    assert not is_shared(file)
