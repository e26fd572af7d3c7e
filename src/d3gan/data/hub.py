"""Data sets and models from the Hugging Face hub."""

from pathlib import Path

from d3gan.errors import UserError


def download(repository: str, config: str, split: str, revision: str) -> Path:
    """Return the folder of a split's parquet files, downloaded or from the hub client's cache.

    `repository` is owner/name. Data sets in other formats are read from the branch of parquet files
    to which the hub converts them. Raises UserError that names both remedies.
    """
    # Imported here because the import is slow, and most runs find their data on this machine.
    from huggingface_hub import constants, snapshot_download

    # Checked first, because the client would retry for half a minute.
    connected = _answers(constants.ENDPOINT)

    def fetch(revision: str) -> Path:
        patterns = [f"*{split}*.parquet", f"*{split}*/*.parquet"]
        if config:
            patterns = [f"{config}/{pattern}" for pattern in patterns]
        folder = snapshot_download(
            repository,
            repo_type="dataset",
            revision=revision,
            allow_patterns=patterns,
            local_files_only=not connected,
        )
        return Path(folder)

    try:
        folder = fetch(revision)
        if not any(folder.rglob("*.parquet")):
            folder = fetch("refs/convert/parquet")
    except Exception as error:  # the hub's client raises errors of several libraries
        reason = _first_line(error) if connected else f"no answer from {constants.ENDPOINT}"
        raise UserError(
            f"cannot download {repository} from the Hugging Face hub ({reason}); either connect "
            "this machine to the network, or put the data set's files under $D3GAN_DATA (see d3gan "
            "data list), or name their folder as data.source"
        ) from error
    return folder


def revision_of(folder: Path) -> str:
    """Return the commit of a downloaded folder, by which the hub's client names it."""
    return folder.name


def download_model(repository: str, revision: str, files: list[str]) -> Path:
    """Return the folder of files of a model, downloaded or from the hub client's cache.

    Raises UserError.
    """
    from huggingface_hub import constants, snapshot_download

    connected = _answers(constants.ENDPOINT)
    try:
        folder = snapshot_download(
            repository, revision=revision, allow_patterns=files, local_files_only=not connected
        )
    except Exception as error:  # the hub's client raises errors of several libraries
        reason = _first_line(error) if connected else f"no answer from {constants.ENDPOINT}"
        raise UserError(
            f"cannot download {repository} from the Hugging Face hub ({reason})"
        ) from error
    return Path(folder)


def _answers(endpoint: str) -> bool:
    from huggingface_hub import get_session

    try:
        get_session().head(endpoint, timeout=5)
    except Exception:  # of any type: without an answer there is no download
        return False
    return True


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:120] if lines else 'no details'}"
