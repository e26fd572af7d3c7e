"""Statistics of a set of images, summed over ranks; those of real images are cached."""

import hashlib
from collections.abc import Callable
from contextlib import ExitStack

import torch
from filelock import FileLock
from torch import Tensor

from d3gan.data.locations import cache_folder
from d3gan.data.sampler import shard
from d3gan.evaluation.features.extractor import Features
from d3gan.evaluation.numerics import without_tf32
from d3gan.evaluation.protocol import VERSION
from d3gan.evaluation.ranks import Ranks
from d3gan.evaluation.statistics import Statistics
from d3gan.files import check_space
from d3gan.images import Images
from d3gan.progress import progress_bar
from d3gan.rng import Stream, permutation
from d3gan.tensor_files import keeping, read_cached, write_tensors

Draw = Callable[[range], Tensor]
"""Function that returns the images with the given numbers, uint8 [B, C, H, W]."""
Requested = Callable[[range], Tensor | None]
"""Function that returns the classes requested of a generator, int64 [B]; None if unconditional."""


def collect(
    features: Features,
    draw: Draw,
    total: int,
    ranks: Ranks,
    *,
    requested: Requested | None = None,
    keep: bool,
    title: str = "",
) -> Statistics:
    """Return statistics of images 0..total-1, each drawn by one rank, in batches.

    All ranks call it; only the main rank gets the complete result. `requested` are the classes that
    a conditional generator was asked for. `keep` stores the features of every image. A `title`
    shows a progress bar. Images are drawn, and features computed, without TF32.
    """
    part = shard(total, ranks.rank(), ranks.world_size())
    statistics = features.empty_statistics(total, keep=keep)
    silent = not title or not ranks.is_main()
    bar_shown = progress_bar(title, len(part), silent=silent)
    with ranks.raise_together(), without_tf32(), bar_shown as bar:
        for first in range(part.start, part.stop, features.batch_size):
            numbers = range(first, min(first + features.batch_size, part.stop))
            classes = None if requested is None else requested(numbers)
            statistics.add(*features(draw(numbers)), first, classes)
            bar.advance(len(numbers))
    for sums in statistics.sums():
        ranks.sum_over_ranks(sums)
    if keep:
        statistics.features = [ranks.gather_rows(statistics.rows)]
    return statistics


def drawn_from(images: Images) -> Draw:
    """Return the draw function of existing images [M, C, H, W]."""
    return lambda numbers: torch.from_numpy(images[numbers.start : numbers.stop].copy())


def real_statistics(
    features: Features, images: Images, digest: str, kept: int, ranks: Ranks
) -> Statistics:
    """Return sums over all real images [M, C, H, W], and the features of `kept` random ones.

    They are cached under `digest`, the `pixel_digest` of the images. All ranks call it; only the
    main rank gets the complete result. Raises UserError.
    """
    everything = _cached(features, images, digest, 0, ranks)
    if kept:
        everything.features = _cached(features, images, digest, kept, ranks).features
    return everything


def pixel_digest(images: Images) -> str:
    """Return the SHA-256 of pixels and shape."""
    digest = hashlib.sha256(repr(images.shape).encode())
    for first in range(0, len(images), 10_000):
        digest.update(images[first : first + 10_000].tobytes())
    return digest.hexdigest()


def _cached(features: Features, images: Images, digest: str, kept: int, ranks: Ranks) -> Statistics:
    """Return statistics of all images, or for `kept` > 0 of a subset of that size with features.

    The subset is a function of the images and of `kept`, as is the key of the cache. When several
    programs ask at once, one of them computes.
    """
    key = (VERSION, features.weights_sha256, features.resize, digest, kept)
    name = hashlib.sha256(repr(key).encode()).hexdigest()[:32]
    what, file = "the statistics of the real images", cache_folder() / "statistics" / f"{name}.pt"
    with ExitStack() as stack:
        saved = None
        with ranks.raise_together(), keeping(what, cache_folder()):
            if ranks.is_main():
                file.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(FileLock(f"{file}.lock"))
                saved = read_cached(file, {"total", "sums", "rows"})
                if saved is None:
                    check_space(file.parent, _size(features, kept))
        if ranks.from_main(lambda: saved is not None):
            if saved is None:  # only the main rank computes numbers
                return features.empty_statistics(kept or len(images))
            return Statistics.from_state_dict(saved, features.sums_device)
        if kept:
            order = permutation(0, Stream.EVALUATION_SUBSET, 0, len(images))
            images = images[order[:kept].sort().values.numpy()]
        title = "features of real images" if kept else "real images"
        keep, draw = kept > 0, drawn_from(images)
        statistics = collect(features, draw, len(images), ranks, keep=keep, title=title)
        with ranks.raise_together(), keeping(what, cache_folder()):
            if ranks.is_main():
                write_tensors(file, statistics.state_dict())
    return statistics


def _size(features: Features, kept: int) -> int:
    """Return the size of a file of statistics in bytes, and a little more."""
    covariance, rows = 8 * features.dimensions**2, 4 * kept * features.dimensions
    return 2**20 + (covariance + rows) * 11 // 10
