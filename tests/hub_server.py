"""A server on loopback that speaks the Hugging Face hub's protocol, as far as its client uses it.

Data sets and models are downloaded from it; models are created and written in commits.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

TOKEN = "hf_" + "a" * 34
Files = dict[str, bytes]
DATA_SET = re.compile(r"(?:[\w-]+/)?[\w.-]+")
"""What the hub allows as the type of a data set in the metadata of a model."""


class HubServer(ThreadingHTTPServer):
    """Repositories and what was asked of them. Only the bearer of TOKEN may write."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.endpoint = f"http://127.0.0.1:{self.server_port}"
        self.datasets: dict[str, Files] = {}
        """Files by ``owner/name/revision``."""
        self.models: dict[str, list[Files]] = {}
        """Files after each commit, by ``owner/name``; the first commit is empty."""
        self.private: set[str] = set()
        self.blobs: Files = {}
        """Uploaded large files by SHA-256."""
        self.requests: list[str] = []

    def environment(self, folder: Path, **more: str) -> dict[str, str]:
        """Return variables under which the hub's client uses this server and stores in `folder`."""
        return {
            "D3GAN_DATA": "",
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(folder / "hub"),
            "HF_HUB_DISABLE_XET": "1",
            "D3GAN_CACHE": str(folder / "cache"),
            "NO_PROXY": "127.0.0.1",
            **more,
        }

    def files_at(self, kind: str, name: str, revision: str) -> tuple[Files, str] | None:
        """Return files and commit of a repository at a branch or at a commit."""
        if kind == "models":
            for number, files in reversed(list(enumerate(self.models.get(name, [])))):
                commit = sha(f"{name} {number}")
                if revision in ("main", commit):
                    return files, commit
            return None
        for key, files in self.datasets.items():
            owner, repository, branch = key.split("/", 2)
            if f"{owner}/{repository}" == name and revision in (branch, sha(branch)):
                return files, sha(branch)
        return None


@contextmanager
def serving() -> Iterator[HubServer]:
    """Run a server within the block."""
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def sha(revision: str) -> str:
    """Return the commit of a branch; of a commit, itself."""
    if re.fullmatch(r"[0-9a-f]{40}", revision):
        return revision
    return hashlib.sha1(revision.encode()).hexdigest()


def metadata_errors(card: str) -> list[str]:
    """Return what the hub refuses in the metadata of a model card."""
    match = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    data = yaml.safe_load(match[1]) if match else None
    if not isinstance(data, dict):
        return ["no metadata"]
    errors = [
        f'"{key}" must be a {kind.__name__}'
        for key, kind in (
            ("license", str), ("library_name", str), ("pipeline_tag", str), ("tags", list),
            ("datasets", list), ("model-index", list),
        )
        if key in data and not isinstance(data[key], kind)
    ]  # fmt: skip
    if not re.fullmatch(r"[a-z0-9.-]+", str(data.get("license", "mit"))):
        errors.append('"license" must be one of [apache-2.0, mit, openrail, ...]')
    errors += [f'"datasets": {d!r}' for d in data.get("datasets", []) if not DATA_SET.fullmatch(d)]
    for model in data.get("model-index", []):
        if not isinstance(model.get("name"), str):
            errors.append('"model-index[0].name" is required')
        for result in model.get("results", []):
            if not isinstance(result["task"].get("type"), str):
                errors.append("task.type is required")
            if not DATA_SET.fullmatch(result["dataset"].get("type", "")):
                errors.append(f"dataset.type = {result['dataset'].get('type')!r} is not allowed")
            if not result["dataset"].get("name"):
                errors.append("dataset.name is required")
            for metric in result["metrics"]:
                if "value" not in metric or not isinstance(metric.get("type"), str):
                    errors.append("metrics need a type and a value")
    return errors


class _Handler(BaseHTTPRequestHandler):
    server: HubServer

    def do_HEAD(self) -> None:
        self.read()

    def do_GET(self) -> None:
        self.read()

    def read(self) -> None:
        path = self.path.partition("?")[0].replace("%2F", "/")
        self.server.requests.append(f"{self.command} {path}")
        if match := re.fullmatch(r"/api/(datasets|models)/([^/]+/[^/]+)(?:/(\w+)/(.+))?", path):
            kind, name, what, revision = match.groups()
            if (found := self.found(kind, name, revision or "main")) is None:
                return
            listing = [
                {"type": "file", "path": file, "rfilename": file, "size": len(data), "oid": "0"}
                for file, data in found[0].items()
            ]
            info = {"id": name, "sha": found[1], "siblings": listing}
            self.answer(listing if what == "tree" else info)
        elif match := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            kind, name, revision, file = match.groups()
            found = self.found("datasets" if kind else "models", name, revision)
            if found is not None:
                files, commit = found
                if file in files:
                    etag = f'"{hashlib.sha256(files[file]).hexdigest()}"'
                    self.send(200, files[file], {"ETag": etag, "X-Repo-Commit": commit})
                else:
                    self.fail(404, "EntryNotFound")
        else:
            self.fail(404, "EntryNotFound")

    def found(self, kind: str, name: str, revision: str) -> tuple[Files, str] | None:
        """Return files and commit; answer with an error if there are none."""
        names = {key.rpartition("/")[0] for key in self.server.datasets} | set(self.server.models)
        hidden = name in self.server.private and not self.may_write()
        known = any(name == key or key.startswith(f"{name}/") for key in names)
        if hidden or not known:
            self.fail(404 if self.may_write() else 401, "RepoNotFound")
            return None
        found = self.server.files_at(kind, name, revision)
        if found is None:
            self.fail(404, "RevisionNotFound")
        return found

    def do_POST(self) -> None:
        self.server.requests.append(f"POST {self.path}")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = self.path.partition("?")[0]
        if path == "/api/validate-yaml":
            errors = metadata_errors(json.loads(body)["content"])
            if errors and self.headers.get("Accept") == "text/plain":
                self.send(400, "\n".join(errors).encode(), {"Content-Type": "text/plain"})
                return
            texts = [{"message": error} for error in errors]
            self.answer({"errors": texts, "warnings": []}, 400 if errors else 200)
        elif not self.may_write():
            self.fail(401, "")
        elif path == "/api/repos/create":
            self.create(json.loads(body))
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", path):
            self.answer({"files": [self.mode(file) for file in json.loads(body)["files"]]})
        elif match := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            self.answer({"transfer": "basic", "objects": list(self.lfs(json.loads(body)))})
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            self.commit(match[1], [json.loads(line) for line in body.splitlines()])
        else:
            self.fail(404, "EntryNotFound")

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        oid = self.path.rpartition("/")[2]
        self.server.requests.append("PUT /lfs")
        if hashlib.sha256(data).hexdigest() != oid:
            self.fail(400, "")
            return
        self.server.blobs[oid] = data
        self.answer({})

    def may_write(self) -> bool:
        return bool(self.headers.get("Authorization") == f"Bearer {TOKEN}")

    def create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        if asked["organization"] == "stranger":
            self.fail(403, "")
            return
        status = 409 if name in self.server.models else 200
        if status == 200:
            self.server.models[name] = [{}]
            if asked.get("private") or asked.get("visibility") == "private":
                self.server.private.add(name)
        self.answer({"url": f"{self.server.endpoint}/{name}", "name": name}, status)

    @staticmethod
    def mode(file: dict[str, Any]) -> dict[str, Any]:
        large = file["path"].endswith((".safetensors", ".png"))
        return {
            "path": file["path"],
            "uploadMode": "lfs" if large else "regular",
            "shouldIgnore": False,
        }

    def lfs(self, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for item in asked["objects"]:
            href = f"{self.server.endpoint}/lfs/{item['oid']}"
            yield item | {"actions": {"upload": {"href": href}}}

    def commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        history = self.server.models[name]
        files = dict(history[-1])
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.blobs[value["oid"]]
        history.append(files)
        oid = sha(f"{name} {len(history) - 1}")
        url = f"{self.server.endpoint}/{name}/commit/{oid}"
        self.answer({"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})

    def answer(self, value: Any, status: int = 200) -> None:
        self.send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def fail(self, status: int, code: str) -> None:
        self.send(status, b"", {"X-Error-Code": code} if code else {})

    def send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(data))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        pass
