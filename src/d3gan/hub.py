"""The Hugging Face hub: downloading files, and uploading them in one commit.

Credentials are those of the hub's client: HF_TOKEN, or what `hf auth login` has stored.
"""

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from d3gan.errors import UserError
from d3gan.messages import is_quiet

# huggingface_hub is imported where it is needed: the import takes time that few commands need.

EXPORT = "model.safetensors"
"""Name of the export in a repository; the hub shows the size of a model in a file of this name."""

_MODEL = re.compile(r"hf:/{1,2}([\w.-]+/[\w.-]+)(?:@(\S+))?")


@dataclass(frozen=True)
class HubModel:
    """A generator on the hub, ``hf://owner/name`` or ``hf://owner/name@revision``."""

    repository: str
    revision: str = "main"

    def __str__(self) -> str:
        at = "" if self.revision == "main" else f"@{self.revision}"
        return f"hf://{self.repository}{at}"

    def download(self) -> Path:
        """Return the file of the generator, downloaded or from the cache. Raises UserError."""
        folder = download(self.repository, self.revision, [EXPORT])
        if not (folder / EXPORT).is_file():
            raise UserError(f"{self} holds no generator of d3gan: there is no {EXPORT} in it")
        return folder / EXPORT


def hub_model(path: str | os.PathLike[str]) -> HubModel | None:
    """Return the model that ``hf://owner/name@revision`` names; None for any other path.

    A `Path` of it, which has one slash less, names the same. Raises UserError for a wrong name.
    """
    text = os.fspath(path).replace("\\", "/")
    if not text.startswith("hf:/"):
        return None
    match = _MODEL.fullmatch(text)
    if match is None:
        raise UserError(f"{text}: must be hf://owner/name or hf://owner/name@revision")
    return HubModel(match[1], match[2] or "main")


def download(
    repository: str,
    revision: str,
    patterns: Sequence[str],
    repo_type: Literal["model", "dataset"] = "model",
    hint: str = "",
) -> Path:
    """Return the folder of the files that match, downloaded or from the hub client's cache.

    The hub names the folder after the commit. Raises UserError, which ends with `hint`.
    """
    from huggingface_hub import constants, snapshot_download

    _hide_progress()
    # Checked first, because the client would retry for half a minute.
    connected = _answers(constants.ENDPOINT)
    try:
        folder = snapshot_download(
            repository,
            repo_type=repo_type,
            revision=revision,
            allow_patterns=list(patterns),
            local_files_only=not connected,
        )
    except Exception as error:  # the hub's client raises errors of several libraries
        reason = _reason(error, repository, revision)
        if not connected:
            reason = f"no answer from {constants.ENDPOINT}"
        raise UserError(
            f"cannot download {repository} from the Hugging Face hub ({reason}){hint}"
        ) from error
    return Path(folder)


@dataclass(frozen=True)
class Commit:
    """A commit on the hub."""

    revision: str
    url: str
    """Page of the repository."""


def check_login(repository: str) -> None:
    """Raise UserError if the name of a repository to write to is wrong or nobody is logged in."""
    from huggingface_hub import get_token

    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise UserError(f"'{repository}' is no name of a repository: must be owner/name")
    if get_token() is None:
        raise UserError(
            "not logged in to the Hugging Face hub: log in with `hf auth login`, or set HF_TOKEN "
            "to a token with write access"
        )


def upload(
    repository: str, files: Mapping[str, bytes], message: str, *, private: bool = False
) -> Commit:
    """Write files to a model repository in one commit; create the repository if there is none.

    Files of the repository that are not among `files` stay. Raises UserError.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, ModelCard, constants

    check_login(repository)
    _hide_progress()
    operations = [CommitOperationAdd(name, content) for name, content in files.items()]
    api = HfApi(library_name="d3gan")
    if not _answers(api.endpoint):
        raise UserError(f"cannot push to {repository}: no answer from {constants.ENDPOINT}")
    with _pushing(repository):
        if "README.md" in files:  # before a repository is created that would stay empty
            ModelCard(files["README.md"].decode()).validate()
        # None leaves the choice to the settings of an organisation.
        page = api.create_repo(repository, private=private or None, exist_ok=True)
        done = api.create_commit(repository, operations, commit_message=message)
    return Commit(done.oid, str(page))


@contextmanager
def _pushing(repository: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the hub's client raises errors of several libraries
        raise UserError(
            f"cannot push to {repository} ({_reason(error, repository, 'main')})"
        ) from error


def _hide_progress() -> None:
    """Hide the progress bars of the hub's client where d3gan shows none."""
    if is_quiet() or not sys.stderr.isatty():
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()


def _answers(endpoint: str) -> bool:
    from huggingface_hub import get_session

    try:
        get_session().head(endpoint, timeout=5)
    except Exception:  # of any type: without an answer there is no download
        return False
    return True


def _reason(error: Exception, repository: str, revision: str) -> str:
    """Return in one line what an error of the hub's client means."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return "access has to be granted on its page, and `hf auth login` to be done"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "there is no such repository, or it is private and needs `hf auth login`"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"it has no revision '{revision}'"
    if isinstance(error, errors.LocalEntryNotFoundError):
        return "the connection failed, and the files are not in the cache"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return "the token is not valid or may not write there; see `hf auth whoami`"
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:120] if lines else 'no details'}"
