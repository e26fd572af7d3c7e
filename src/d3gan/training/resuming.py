"""Resuming a run: what must be the same as before, and what its folder still holds."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from d3gan.config import Config, from_dict, refuse_changes
from d3gan.config_paths import absolute
from d3gan.data.cache import ImageSet
from d3gan.errors import UserError
from d3gan.messages import warn
from d3gan.runs import RunFolder
from d3gan.training import distributed
from d3gan.training.state import State


@contextmanager
def name_new_place(source: str, flag: str) -> Iterator[None]:
    """Add to a UserError within the block how to name the place to which the images were moved."""
    try:
        yield
    except UserError as error:
        if Path(source).is_absolute() and not Path(source).exists():
            raise UserError(
                f"{error}; if the images were moved, name their new place: {flag} PLACE"
            ) from error
        raise


def images_id(images: ImageSet) -> dict[str, str]:
    """Return what a run and its checkpoints keep to recognise the images, wherever they are."""
    labels = hashlib.sha256(images.labels.tobytes()).hexdigest()
    return {"data_digest": images.digest, "labels_digest": labels}


@contextmanager
def opened(run: RunFolder, *, resume: bool) -> Iterator[None]:
    """Hold the lock of the run's folder within the block, on the main rank.

    Raises UserError if there is no run to resume, or one where a new one should begin.
    """
    if resume:
        run.require()
    else:
        run.require_none()
    if not distributed.is_main():
        yield
        return
    with run.locked():
        run.remove_temporary()
        yield


def _check_same_images(
    config: Config, run: RunFolder, saved: Mapping[str, Any] | None, images: ImageSet
) -> None:
    """Raise UserError if the run was trained on other images, or with other labels.

    They are those of its checkpoint `saved`, or before the first one those of its last session.
    """
    before = saved or next(reversed(run.sessions()), {})
    now, source = images_id(images), config.data.source
    if before.get("data_digest", now["data_digest"]) != now["data_digest"]:
        raise UserError(
            f"data.source = {source!r}: these are not the images that the run {run.path} was "
            f"trained on (their SHA-256 is {now['data_digest'][:12]}..., not "
            f"{before['data_digest'][:12]}...); name those, or start a new run with another --name"
        )
    same_labels = before.get("labels_digest", now["labels_digest"]) == now["labels_digest"]
    if config.model.conditional and not same_labels:
        raise UserError(
            f"data.source = {source!r}: the images are those of the run {run.path}, but their "
            "labels are others; restore the folders or files that give the labels"
        )


def restore(
    config: Config,
    run: RunFolder,
    state: State,
    saved: Mapping[str, Any] | None,
    images: ImageSet,
) -> None:
    """Load the checkpoint `saved` of the run, if it has one, into `state`.

    Warns if rows of metrics are lost that it has passed. Raises UserError if the run has
    other images or another configuration, or was trained for longer.
    """
    _check_same_images(config, run, saved, images)
    if saved is None:
        return
    if "config" in saved:  # older versions did not save it
        trained = absolute(from_dict(saved["config"]))
        # The folder may have been moved or renamed.
        refuse_changes(replace(trained, name=config.name, out_dir=config.out_dir), config)
    if saved["step"] > config.total_steps(len(images.images)):
        raise UserError(
            f"train.epochs = {config.train.epochs:g}: {run.path} has already been trained for "
            f"longer, to step {saved['step']}"
        )
    state.load_state_dict(saved)
    if distributed.is_main():
        _warn_of_lost_rows(run, state.step)


def _warn_of_lost_rows(run: RunFolder, step: int) -> None:
    last = run.last_trained_step(until=step)
    if last < step:
        warn(
            f"{run.metrics_file} lacks the rows of the steps {last + 1} to {step}, which a "
            "checkpoint has passed; they are not trained again, and summaries and curves leave "
            "them out"
        )
