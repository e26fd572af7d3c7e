"""What the metrics know of a set of images, added up by all ranks; and of real ones, only once."""

import hashlib
from collections.abc import Callable
from contextlib import ExitStack

import torch
from filelock import FileLock
from torch import Tensor

from d3gan.data.cache import cache_folder
from d3gan.data.sampler import shard
from d3gan.evaluation.features.extractor import Features
from d3gan.evaluation.protocol import PROTOCOL
from d3gan.evaluation.statistics import Statistics
from d3gan.images import Images
from d3gan.progress import progress_bar
from d3gan.rng import Stream, permutation
from d3gan.tensor_files import keeping, read_saved, write_saved
from d3gan.training import distributed

Draw = Callable[[range], Tensor]
"""The images of these numbers: uint8 [B, C, H, W]."""


def collect(
    features: Features, draw: Draw, total: int, *, keep: bool, title: str = ""
) -> Statistics:
    """Statistics of images 0..total-1, each drawn by one rank, in batches that are not kept.

    All ranks call it; on the main one the result is whole. With `keep` the features of every image
    are in it. A progress bar is shown if there is a `title`.
    """
    part = shard(total, distributed.rank(), distributed.world_size())
    statistics = features.empty_statistics(total, keep=keep)
    silent = not title or not distributed.is_main()
    with distributed.raise_together(), progress_bar(title, len(part), silent=silent) as bar:
        for first in range(part.start, part.stop, features.batch_size):
            numbers = range(first, min(first + features.batch_size, part.stop))
            statistics.add(*features(draw(numbers)), first)
            bar.advance(len(numbers))
    for sums in statistics.sums():
        distributed.sum_over_ranks(sums)
    if keep:
        statistics.features = [distributed.gather_rows(statistics.rows)]
    return statistics


def drawn_from(images: Images) -> Draw:
    """The draw of images [M, C, H, W] that are there already."""
    return lambda numbers: torch.from_numpy(images[numbers.start : numbers.stop].copy())


def real_statistics(features: Features, images: Images, digest: str, kept: int) -> Statistics:
    """Sums over all real images [M, C, H, W], and the features of `kept` of them, picked at random.

    Taken from the cache, by the `pixel_digest` of the images, or put into it. All ranks call it;
    the main one gets the result, the others what they happen to have. Raises UserError.
    """
    everything = _cached(features, images, digest, 0)
    if kept:
        everything.features = _cached(features, images, digest, kept).features
    return everything


def pixel_digest(images: Images) -> str:
    """SHA-256 of pixels and shape."""
    digest = hashlib.sha256(repr(images.shape).encode())
    for first in range(0, len(images), 10_000):
        digest.update(images[first : first + 10_000].tobytes())
    return digest.hexdigest()


def _cached(features: Features, images: Images, digest: str, kept: int) -> Statistics:
    """Statistics of all images; or, for `kept` > 0, of so many of them, with their features.

    Which ones these are is a function of the images and of `kept`, as the cache's key is. Several
    programs may ask at once: one computes.
    """
    key = (PROTOCOL, features.weights_sha256, features.resize, digest, kept)
    name = hashlib.sha256(repr(key).encode()).hexdigest()[:32]
    what, file = "the real images' statistics", cache_folder() / "statistics" / f"{name}.pt"
    with ExitStack() as stack:
        saved = None
        with distributed.raise_together(), keeping(what, cache_folder()):
            if distributed.is_main():
                file.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(FileLock(f"{file}.lock"))
                saved = read_saved(file, {"total", "sums", "rows"})
        if distributed.from_main(lambda: saved is not None):
            if saved is None:  # not the main rank, which alone computes numbers
                return features.empty_statistics(kept or len(images))
            return Statistics.from_state_dict(saved, features.device)
        if kept:
            order = permutation(0, Stream.EVALUATION_SUBSET, 0, len(images))
            images = images[order[:kept].sort().values.numpy()]
        title = "their features" if kept else "real images"
        statistics = collect(features, drawn_from(images), len(images), keep=kept > 0, title=title)
        with distributed.raise_together(), keeping(what, cache_folder()):
            if distributed.is_main():
                write_saved(file, statistics.state_dict())
    return statistics
