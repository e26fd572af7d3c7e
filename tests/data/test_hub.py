"""Downloading from the hub, against a server on loopback that speaks the hub's protocol."""

import io
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.hub_server import HubServer, serving, sha
from tests.program import d3gan, run_code

from d3gan.data.hub_sources import HUB_SOURCES

COMMIT = next(source.revision for source in HUB_SOURCES if source.name == "mnist")

NOWHERE = "http://127.0.0.1:9"
"""An address without a server."""


def parquet(count: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (28, 28), 9).save(stream, "PNG")
    rows = {"image": [{"bytes": stream.getvalue(), "path": None}] * count, "label": [3] * count}
    sink = io.BytesIO()
    pq.write_table(pa.table(rows), sink)
    return sink.getvalue()


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """Two data sets: MNIST at its pinned revision, and one that only the hub's converter has."""
    with serving() as server:
        server.datasets = {
            f"ylecun/mnist/{COMMIT}": {
                "README.md": b"# MNIST",
                "mnist/train-00000-of-00001.parquet": parquet(5),
                "mnist/test-00000-of-00001.parquet": parquet(2),
            },
            "someone/pictures/main": {"pictures.tar": b"no parquet here"},
            "someone/pictures/refs/convert/parquet": {"default/train/0000.parquet": parquet(4)},
        }
        yield server


def prepare(
    source: str, hub: HubServer, folder: Path, **more: str
) -> subprocess.CompletedProcess[str]:
    return d3gan("data", "prepare", source, **hub.environment(folder, **more))


def test_a_named_source_is_downloaded_at_its_pinned_revision(
    hub: HubServer, tmp_path: Path
) -> None:
    result = prepare("mnist", hub, tmp_path)
    assert result.stdout == "mnist train: 5 images of 1 x 32 x 32, 1 classes\n", result.stderr
    downloaded = [line for line in hub.requests if line.startswith("GET /datasets/")]
    assert downloaded == [
        f"GET /datasets/ylecun/mnist/resolve/{COMMIT}/mnist/train-00000-of-00001.parquet"
    ]


def test_the_commit_of_downloaded_images_is_known(hub: HubServer, tmp_path: Path) -> None:
    """Also of a data set that is not pinned; that of local images is not."""
    code = (
        "from d3gan.data.sources import find_source\n"
        "for name in ('mnist', 'someone/pictures', 'digits'):\n"
        "    print(find_source(name, 'train').revision)"
    )
    result = run_code(code, **hub.environment(tmp_path))
    converted = sha("refs/convert/parquet")
    assert result.stdout.split("\n")[:3] == [COMMIT, converted, ""], result.stderr


def test_a_data_set_without_parquet_comes_from_the_hub_s_converter(
    hub: HubServer, tmp_path: Path
) -> None:
    result = prepare("someone/pictures", hub, tmp_path)
    assert "someone/pictures train: 4 images of 3 x 32 x 32" in result.stdout, result.stderr


def test_downloaded_files_are_used_without_a_network(hub: HubServer, tmp_path: Path) -> None:
    assert prepare("mnist", hub, tmp_path).returncode == 0
    result = prepare("mnist", hub, tmp_path, HF_ENDPOINT=NOWHERE)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("source", ["mnist", "no/such"])
def test_a_missing_network_or_data_set_is_reported_in_one_line(
    hub: HubServer, source: str, tmp_path: Path
) -> None:
    result = prepare(
        source, hub, tmp_path, HF_ENDPOINT=NOWHERE if source == "mnist" else hub.endpoint
    )
    assert result.returncode == 2
    assert result.stdout == ""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("d3gan: error: cannot download ")
    assert "$D3GAN_DATA" in lines[0]
