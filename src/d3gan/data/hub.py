"""Data sets from the Hugging Face hub."""

from pathlib import Path

from d3gan.hub import download as download_files

HINT = (
    "; either connect this machine to the network, or put the data set's files under $D3GAN_DATA "
    "(see d3gan data list), or name their folder as data.source"
)


def download(repository: str, config: str, split: str, revision: str) -> Path:
    """Return the folder of a split's parquet files, downloaded or from the hub client's cache.

    `repository` is owner/name. Data sets in other formats are read from the branch of parquet files
    to which the hub converts them. Raises UserError that names both remedies.
    """
    patterns = [f"*{split}*.parquet", f"*{split}*/*.parquet"]
    if config:
        patterns = [f"{config}/{pattern}" for pattern in patterns]
    folder = download_files(repository, revision, patterns, "dataset", HINT)
    if not any(folder.rglob("*.parquet")):
        folder = download_files(repository, "refs/convert/parquet", patterns, "dataset", HINT)
    return folder


def revision_of(folder: Path) -> str:
    """Return the commit of a downloaded folder, by which the hub's client names it."""
    return folder.name
