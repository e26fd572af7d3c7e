"""Resuming a run: what must be the same as before, and what its folder still holds."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from d3gan.config import Config, from_dict, refuse_changes
from d3gan.errors import UserError
from d3gan.messages import warn
from d3gan.runs import RunFolder
from d3gan.training import distributed
from d3gan.training.state import State


def restore(
    config: Config,
    run: RunFolder,
    state: State,
    saved: Mapping[str, Any],
    data_digest: str,
    total: int,
) -> None:
    """Load the checkpoint `saved` of the run into `state`.

    Warns if rows of metrics are lost that the checkpoint has passed. Raises UserError if it was
    saved with other images or another configuration, or after more than `total` steps.
    """
    _check_same_run(config, saved, data_digest)
    if saved["step"] > total:
        raise UserError(
            f"train.epochs = {config.train.epochs:g}: {run.path} has already been trained for "
            f"longer, to step {saved['step']}"
        )
    state.load_state_dict(saved)
    if distributed.is_main():
        _warn_of_lost_rows(run, state.step)


def _check_same_run(config: Config, saved: Mapping[str, Any], data_digest: str) -> None:
    if saved["data_digest"] != data_digest:
        raise UserError(
            f"the images of {config.data.source} have changed since {config.run_dir} was saved; "
            "restore them, or start a new run with another --name"
        )
    if "config" in saved:  # older versions did not save it
        trained = from_dict(saved["config"])
        # The folder may have been moved or renamed.
        refuse_changes(replace(trained, name=config.name, out_dir=config.out_dir), config)


def _warn_of_lost_rows(run: RunFolder, step: int) -> None:
    last = run.last_trained_step(until=step)
    if last < step:
        warn(
            f"{run.metrics_file} lacks the rows of the steps {last + 1} to {step}, which a "
            "checkpoint has passed; they are not trained again, and summaries and curves leave "
            "them out"
        )
