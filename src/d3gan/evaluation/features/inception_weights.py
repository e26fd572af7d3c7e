"""The weights of the 2015 Inception network, downloaded once and identified by their hash."""

import urllib.request
from pathlib import Path
from urllib.error import URLError

import torch
from filelock import FileLock

from d3gan.config import DataConfig
from d3gan.errors import UserError
from d3gan.evaluation.features.extractor import Features, weights_sha256
from d3gan.evaluation.features.inception import Inception
from d3gan.evaluation.features.inception_release import FILE, SHA256, SIZE, URL, cached_file
from d3gan.files import check_space
from d3gan.messages import warn

TIMEOUT_SECONDS = 20
"""Time limit for the server's first answer."""


def load(
    argument: str, data: DataConfig, *, weights: str, folder: Path, device: torch.device
) -> Features:
    """Return the Inception features; `weights` is a local file, or "" for the download."""
    network = load_inception(weights, cached_file(folder).parent)
    return Features(
        "inception",
        network,
        network.dimensions,
        network.classes,
        weights_sha256=SHA256,
        resize="tf1 bilinear to 299",
        batch_size=32,
    )


def load_inception(weights: str, folder: Path) -> Inception:
    """Return the network with the weights of the file `weights`, or for "" of the downloaded one.

    Downloads go to `folder`, once. Raises UserError if the file is missing or a different one.
    """
    file = Path(weights).expanduser() if weights else _downloaded(folder)
    digest = weights_sha256(file, "Inception")
    if digest != SHA256:
        raise UserError(
            f"{file} is not {FILE}: its SHA-256 is {digest[:16]}..., not {SHA256[:16]}...; "
            f"download it again from {URL}"
        )
    network = Inception()
    saved = torch.load(file, map_location="cpu", weights_only=True)
    # Old checkpoints lack this counter, which evaluation does not use.
    counters = {k: v for k, v in network.state_dict().items() if k.endswith("num_batches_tracked")}
    network.load_state_dict(counters | saved)
    return network.eval().requires_grad_(False)


def _downloaded(folder: Path) -> Path:
    """Return the file in `folder`, downloaded if it is missing or damaged.

    Of several processes, one downloads it.
    """
    file = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file}.lock"):
            if file.exists() and weights_sha256(file, "Inception") != SHA256:
                warn(f"{file} is damaged; it is downloaded again")
                file.unlink()
            if not file.exists():
                check_space(folder, SIZE)
                urllib.request.urlopen(
                    urllib.request.Request(URL, method="HEAD"), timeout=TIMEOUT_SECONDS
                ).close()  # the download itself has no time limit
                torch.hub.download_url_to_file(URL, str(file), hash_prefix=SHA256)
    except (URLError, RuntimeError, OSError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise UserError(
            f"cannot download the Inception weights from {URL} ({reason}); either download {FILE} "
            "on a machine with a network and name the file (--eval.weights PATH; evaluate: "
            "--weights PATH), or choose classifier features (--features classifier)"
        ) from error
    return file
