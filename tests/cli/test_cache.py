"""d3gan cache and d3gan cache clear."""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image
from tests.program import symbolic_links

from d3gan.cli.cache import KIND_TEXTS
from d3gan.cli.main import main
from d3gan.config import DataConfig
from d3gan.data.cache import load_images
from d3gan.data.cache_contents import ALL_KINDS, KINDS
from d3gan.data.in_memory import store_images

DAY = 86_400


def small_file(file: Path, days: float = 0.0) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"12345")
    os.utime(file, (time.time() - days * DAY,) * 2)
    return file


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that holds something of every kind, and two files that are not d3gan's."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("D3GAN_CACHE", str(folder))
    (tmp_path / "photos").mkdir()
    for value in range(6):
        Image.new("L", (16, 16), value).save(tmp_path / "photos" / f"{value}.png")
    load_images(DataConfig(str(tmp_path / "photos"), resolution=16, channels=1))
    store_images(np.zeros((3, 8, 8), np.uint8))
    name = "0123456789abcdef" * 2
    small_file(folder / "statistics" / f"{name}.pt", days=40)
    small_file(folder / "classifiers" / f"{name}.pt", days=10)
    small_file(folder / "weights" / "pt_inception-2015-12-05-6726825d.pth", days=1)
    small_file(folder / "kernels" / f"{name[:16]}.json")
    small_file(folder / "images" / f"{name}.77.tmp" / "images.npy")
    small_file(folder / "notes.txt")
    small_file(folder / "statistics" / "own.pt")
    return folder


def listed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    assert main(["cache", "--json", "-"]) == 0
    return [entry["kind"] for entry in json.loads(capsys.readouterr().out)]


def test_everything_is_listed(
    cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert listed(capsys) == list(ALL_KINDS)
    assert main(["cache"]) == 0
    output = capsys.readouterr().out
    assert "photos train: 6 images, 16 x 16, grey" in output
    assert f"in {cache}\nTo delete it or a part of it: d3gan cache clear\n" in output
    for kind, (what, _) in KIND_TEXTS.items():
        assert kind == "images" or f"{kind} {what}: 1 " in " ".join(output.split())
    assert "40 days ago" in output


def test_an_empty_cache_and_a_missing_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("D3GAN_CACHE", str(tmp_path / "none"))
    assert main(["cache"]) == 0
    assert capsys.readouterr().out.startswith(f"0 bytes in {tmp_path / 'none'}\n")
    assert main(["cache", "clear"]) == 0
    assert capsys.readouterr().out == f"nothing to delete in {tmp_path / 'none'}\n"
    assert not (tmp_path / "none").exists()


def test_clearing_keeps_what_is_not_ours_and_images_given_from_python(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (entry,) = (file.parent for file in cache.glob("images/*/entry.json"))
    small_file(entry / "own.txt")
    assert main(["cache", "clear", "--yes"]) == 0
    assert "deleted 7 entries (" in capsys.readouterr().out
    assert listed(capsys) == ["in-memory"]
    left = sorted(
        str(file.relative_to(cache)) for file in cache.rglob("*") if file.is_file()
        and file.suffix != ".lock" and "in-memory" not in file.parts
    )  # fmt: skip
    assert [Path(file).name for file in left] == ["own.txt", "notes.txt", "own.pt"]
    assert main(["cache", "clear", "in-memory", "--yes"]) == 0
    assert listed(capsys) == []


def test_clearing_by_kind_and_age(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "clear", "statistics", "images", "--older-than", "5", "--yes"]) == 0
    assert listed(capsys) == [kind for kind in ALL_KINDS if kind != "statistics"]
    assert main(["cache", "clear", "--older-than", "5", "--yes"]) == 0
    assert "classifiers" not in listed(capsys)
    assert main(["cache", "clear", "images", "--yes"]) == 0
    assert "images" not in listed(capsys)
    assert main(["cache", "clear", "--older-than", "-1"]) == 2


def test_a_use_makes_images_younger(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file,) = cache.glob("images/*/entry.json")
    os.utime(file, (time.time() - 20 * DAY,) * 2)
    load_images(DataConfig(str(cache.parent / "photos"), resolution=16, channels=1))
    assert main(["cache", "clear", "images", "--older-than", "10", "--yes"]) == 0
    assert "images" in listed(capsys)


@pytest.mark.parametrize(("answer", "deleted"), [("y", True), ("", False), ("n", False)])
def test_a_terminal_is_asked(
    answer: str, deleted: bool, cache: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    questions: list[str] = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda text: questions.append(text) or answer)
    assert main(["cache", "clear", "statistics"]) == 0
    assert questions == [f"delete 1 entry (5 bytes) in {cache}? [y/N] "]
    assert ("statistics" in listed(capsys)) is not deleted


def test_without_a_terminal_yes_is_needed(
    cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    assert main(["cache", "clear"]) == 2
    assert "add --yes to delete without being asked" in capsys.readouterr().err
    assert listed(capsys) == list(ALL_KINDS)


def test_what_running_processes_use_is_kept(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "0123456789abcdef" * 2
    locks = [cache / "images" / f"{name}.lock", cache / "statistics" / f"{name}.pt.lock"]
    held = [FileLock(lock) for lock in locks]
    for lock in held:
        lock.acquire()
    images = load_images(DataConfig(str(cache.parent / "photos"), resolution=16, channels=1))
    kinds = ["images", "statistics", "unfinished"]
    if sys.platform == "win32":
        kinds.remove("images")
    assert main(["cache", "clear", *kinds, "--yes"]) == 0
    output = capsys.readouterr().out
    assert "deleted 0 entries" in output
    assert f"kept {len(kinds)} entries (" in output
    assert images.images.max() == 5
    for lock in held:
        lock.release()
    del images
    assert main(["cache", "clear", *kinds, "--yes"]) == 0
    assert set(kinds).isdisjoint(listed(capsys))


@symbolic_links
def test_links_are_not_followed(cache: Path, tmp_path: Path) -> None:
    name = "f" * 32
    elsewhere = small_file(tmp_path / "elsewhere" / "images.npy")
    (cache / "images" / name).symlink_to(elsewhere.parent)
    (cache / "digests" / name).symlink_to(elsewhere)
    assert main(["cache", "clear", "--yes"]) == 0
    assert elsewhere.exists()
    assert (cache / "images" / name).is_symlink()


def test_the_kinds_of_the_flags_are_those_of_the_cache(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(KINDS) < set(ALL_KINDS)
    assert main(["cache", "clear", "wrong"]) == 2
    message = capsys.readouterr().err
    assert all(f"'{kind}'" in message for kind in ALL_KINDS)
