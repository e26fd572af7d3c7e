"""Statistics of real images are computed once."""

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.evaluation.measuring import evaluator
from tests.program import start_process

from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.evaluation import real_statistics
from d3gan.evaluation.ranks import SINGLE_PROCESS
from d3gan.training.trainer import train


def test_real_statistics_are_computed_once(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator(labelled)  # the classifier
    calls = []

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments[2])
        return collect(*arguments, **options)

    collect = real_statistics.collect
    monkeypatch.setattr(real_statistics, "collect", counted)
    first = evaluator(labelled, 137).real
    again = evaluator(labelled, 137).real
    assert calls == [137], "sums were there; the features of 137 images are new"
    assert torch.equal(first.rows, again.rows)
    assert torch.equal(first.moments.products, again.moments.products)
    evaluator(labelled, 139)
    assert calls == [137, 139]


def test_concurrent_programs_compute_real_statistics_once(measured: Config, tmp_path: Path) -> None:
    run = train(measured)
    cache = {"D3GAN_CACHE": str(tmp_path / "fresh")}
    code = (
        "import sys; from d3gan.evaluation import real_statistics as r; collect = r.collect\n"
        "def counted(*a, **k): print('computed', flush=True); return collect(*a, **k)\n"
        "r.collect = counted\n"
        "from d3gan.evaluation.features import classifier_cache as c; t = c._trained\n"
        "def trained(*a): print('trained', flush=True); return t(*a)\n"
        "c._trained = trained\n"
        "c.RECIPES = {3: c.Recipe(width=4, epochs=1.0, least_images=0)}\n"
        "from d3gan.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    programs = [
        start_process([sys.executable, "-c", code, "evaluate", run.path, "--samples", 150], **cache)
        for _ in range(3)
    ]
    outputs = [program.communicate(timeout=200) for program in programs]
    assert [program.returncode for program in programs] == [0, 0, 0], outputs
    said = "".join(output for output, _ in outputs)
    assert said.count("trained") == 1
    assert said.count("computed") == 2 + 3 * 3, "real images' sums and features; three draws each"
    tables = {output.partition(" metric")[2] for output, _ in outputs}
    assert len(tables) == 1


def flipped(file: Path) -> None:
    """Change one bit in the middle of the largest record of a file."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x40
    file.write_bytes(bytes(data))


def test_a_damaged_cache_entry_is_computed_again(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_classifier: None
) -> None:
    cache = tmp_path / "own"
    monkeypatch.setenv("D3GAN_CACHE", str(cache))
    expected = evaluator(labelled).real
    for damage in (flipped, lambda file: torch.save({}, file)):
        for file in [*cache.glob("statistics/*.pt"), *cache.glob("classifiers/*.pt")]:
            damage(file)  # type: ignore[no-untyped-call]
        again = evaluator(labelled).real
        assert torch.equal(again.moments.products, expected.moments.products)
        assert torch.equal(again.rows, expected.rows)


def test_a_full_cache_is_found_before_features_are_computed(
    labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = evaluator(labelled, 141)
    sizes: list[int] = []

    def full(folder: Path, size: int) -> None:
        sizes.append(size)
        raise OSError(28, "No space left on device (... are needed)")

    monkeypatch.setattr(real_statistics, "check_space", full)
    monkeypatch.setattr(real_statistics, "collect", None)  # features would be computed
    images = np.zeros((150, 3, 16, 16), np.uint8)
    with pytest.raises(UserError, match="cannot cache the statistics of the real images"):
        real_statistics.real_statistics(measured.features, images, "new", 0, SINGLE_PROCESS)
    assert sizes[0] > 8 * measured.features.dimensions**2


def test_the_reserved_space_is_that_of_the_file(labelled: Path) -> None:
    measured = evaluator(labelled, 143)
    for kept in (0, 100):
        statistics = measured.features.empty_statistics(150, keep=bool(kept))
        if kept:
            statistics.features = [torch.zeros(kept, measured.features.dimensions)]
        buffer = io.BytesIO()
        torch.save(statistics.state_dict(), buffer)
        assert buffer.tell() <= real_statistics._size(measured.features, kept)
