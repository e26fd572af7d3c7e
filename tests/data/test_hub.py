"""Downloading from the hub, against a server on loopback that speaks the hub's protocol."""

import hashlib
import io
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.program import d3gan, run_code

from d3gan.data.hub_sources import HUB_SOURCES

COMMIT = next(source.revision for source in HUB_SOURCES if source.name == "mnist")


def parquet(count: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (28, 28), 9).save(stream, "PNG")
    rows = {"image": [{"bytes": stream.getvalue(), "path": None}] * count, "label": [3] * count}
    sink = io.BytesIO()
    pq.write_table(pa.table(rows), sink)
    return sink.getvalue()


class Hub(BaseHTTPRequestHandler):
    """Two data sets: MNIST at its pinned revision, and one that only the hub's converter has."""

    files = {  # noqa: RUF012
        f"ylecun/mnist/{COMMIT}": {
            "README.md": b"# MNIST",
            "mnist/train-00000-of-00001.parquet": parquet(5),
            "mnist/test-00000-of-00001.parquet": parquet(2),
        },
        "someone/pictures/main": {"pictures.tar": b"no parquet here"},
        "someone/pictures/refs/convert/parquet": {"default/train/0000.parquet": parquet(4)},
    }
    requests: list[str] = []  # noqa: RUF012

    def do_HEAD(self) -> None:
        self.respond(body=False)

    def do_GET(self) -> None:
        self.respond(body=True)

    def respond(self, body: bool) -> None:
        path = self.path.partition("?")[0].replace("%2F", "/")
        self.requests.append(f"{self.command} {path}")
        if path.startswith("/api/datasets/"):
            name, kind, revision = re.split(
                "/(revision|tree)/", path.removeprefix("/api/datasets/")
            )
            files = self.at(name, revision)
            if files is not None:
                listing = [
                    {"type": "file", "path": file, "rfilename": file, "size": len(data), "oid": "0"}
                    for file, data in files.items()
                ]
                info = {"id": name, "sha": self.sha(revision), "siblings": listing}
                answer = json.dumps(listing if kind == "tree" else info).encode()
                self.send(answer, {"Content-Type": "application/json"}, body)
                return
        for key, files in self.files.items():
            owner, name, revision = key.split("/", 2)
            start = f"/datasets/{owner}/{name}/resolve/{self.sha(revision)}/"
            if path.startswith(start) and path.removeprefix(start) in files:
                data = files[path.removeprefix(start)]
                etag = f'"{hashlib.sha256(data).hexdigest()}"'
                self.send(data, {"ETag": etag, "X-Repo-Commit": self.sha(revision)}, body)
                return
        self.send_response(404)
        self.send_header("X-Error-Code", "RevisionNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def at(self, name: str, revision: str) -> dict[str, bytes] | None:
        """The files of a data set at a branch or at a commit."""
        for key, files in self.files.items():
            owner, repository, branch = key.split("/", 2)
            if f"{owner}/{repository}" == name and revision in (branch, self.sha(branch)):
                return files
        return None

    @staticmethod
    def sha(revision: str) -> str:
        return revision if len(revision) == 40 else hashlib.sha1(revision.encode()).hexdigest()

    def send(self, data: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(200)
        for name, value in (headers | {"Content-Length": str(len(data))}).items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    Hub.requests.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def environment(endpoint: str, folder: Path) -> dict[str, str]:
    return {
        "D3GAN_DATA": "",
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(folder / "hub"),
        "HF_HUB_DISABLE_XET": "1",
        "D3GAN_CACHE": str(folder / "cache"),
        "NO_PROXY": "127.0.0.1",
    }


def prepare(source: str, endpoint: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return d3gan("data", "prepare", source, **environment(endpoint, folder))


def test_a_named_source_is_downloaded_at_its_pinned_revision(hub: str, tmp_path: Path) -> None:
    result = prepare("mnist", hub, tmp_path)
    assert result.stdout == "mnist train: 5 images of 1 x 32 x 32, 1 classes\n", result.stderr
    downloaded = [line for line in Hub.requests if line.startswith("GET /datasets/")]
    assert downloaded == [
        f"GET /datasets/ylecun/mnist/resolve/{COMMIT}/mnist/train-00000-of-00001.parquet"
    ]


def test_the_commit_of_downloaded_images_is_known(hub: str, tmp_path: Path) -> None:
    """Also of a data set that is not pinned; that of local images is not."""
    code = (
        "from d3gan.data.sources import find_source\n"
        "for name in ('mnist', 'someone/pictures', 'digits'):\n"
        "    print(find_source(name, 'train').revision)"
    )
    result = run_code(code, **environment(hub, tmp_path))
    converted = Hub.sha("refs/convert/parquet")
    assert result.stdout.split("\n")[:3] == [COMMIT, converted, ""], result.stderr


def test_a_data_set_without_parquet_comes_from_the_hub_s_converter(
    hub: str, tmp_path: Path
) -> None:
    result = prepare("someone/pictures", hub, tmp_path)
    assert "someone/pictures train: 4 images of 3 x 32 x 32" in result.stdout, result.stderr


def test_downloaded_files_are_used_without_a_network(hub: str, tmp_path: Path) -> None:
    assert prepare("mnist", hub, tmp_path).returncode == 0
    result = prepare("mnist", "http://127.0.0.1:9", tmp_path)  # no server there
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("source", ["mnist", "no/such"])
def test_a_missing_network_or_data_set_is_reported_in_one_line(
    hub: str, source: str, tmp_path: Path
) -> None:
    endpoint = "http://127.0.0.1:9" if source == "mnist" else hub
    result = prepare(source, endpoint, tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("d3gan: error: cannot download ")
    assert "$D3GAN_DATA" in lines[0]
