"""Where decoded images and other results are kept."""

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_folder() -> Path:
    """Return $D3GAN_CACHE, or the user's cache folder of this platform."""
    folder = os.environ.get("D3GAN_CACHE")
    return Path(folder) if folder else user_cache_path("d3gan", appauthor=False)
