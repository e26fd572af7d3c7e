"""Where the weights of the 2015 Inception network are; this module does not import torch."""

import os
import urllib.request
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit

FILE = "pt_inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{FILE}"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
SIZE = 96_000_000
"""Bytes of the file, rounded up."""

QUICK_SECONDS = 5
"""Time limit for the server's first answer where there is an alternative to the download."""


def cached_file(cache: Path) -> Path:
    """Return where the download is kept in the cache folder."""
    return cache / "weights" / FILE


def why_unreachable() -> str:
    """Return why the weights cannot be downloaded at present, "" if the server answers.

    The server is not asked if the environment variable D3GAN_OFFLINE is set.
    """
    if os.environ.get("D3GAN_OFFLINE"):
        return "D3GAN_OFFLINE is set"
    try:
        request = urllib.request.Request(URL, method="HEAD")
        urllib.request.urlopen(request, timeout=QUICK_SECONDS).close()
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        return f"{urlsplit(URL).hostname}: {reason}"
    return ""
