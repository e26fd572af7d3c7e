"""Warm start: a new run that begins with the weights of another one.

`model.init_from` names a run, a checkpoint or an export. The run keeps a copy of the weights and
their SHA-256 (`model.init_sha256`), so that it stays reproducible when the other one is gone.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.files import writing
from d3gan.hub import hub_model
from d3gan.runs import RunFolder
from d3gan.tensor_files import BrokenFile, read_tensors, write_tensors
from d3gan.training.checkpoint import newest_checkpoint
from d3gan.training.export import read_export
from d3gan.training.shares import count_discriminators, select_discriminators
from d3gan.training.state import State

NETWORKS = ("generator", "ema", "discriminators")

Weights = dict[str, dict[str, Tensor]]
"""State dictionaries by name of the network, one of `NETWORKS`."""


@dataclass(frozen=True)
class InitialWeights:
    """The weights with which a run begins."""

    weights: Weights
    """Those of an export have no discriminators; the run's own are then freshly initialised."""
    key: str
    """The key and its value, for error messages."""

    @property
    def sha256(self) -> str:
        """SHA-256 of names, shapes and values of the weights."""
        digest = hashlib.sha256()
        for network, weights in sorted(self.weights.items()):
            for name, tensor in sorted(weights.items()):
                digest.update(f"{network}.{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
                digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def load_into(self, state: State, discriminators: int) -> None:
        """Overwrite the weights of the state of a run with so many discriminators.

        Raises UserError for the first weight that does not fit.
        """
        found = count_discriminators(self.weights.get("discriminators", {}))
        if found not in (0, discriminators):
            raise UserError(
                f"{self.key}: it has {found} discriminators, and this run {discriminators}; set "
                f"gan.discriminators = {found}, or export its generator and begin with that"
            )
        networks: dict[str, nn.Module | None] = {
            "generator": state.generator,
            "ema": state.ema,
            "discriminators": state.discriminators,
        }
        for name, network in networks.items():
            if network is None or name not in self.weights:
                continue
            saved = self.weights[name]
            if name == "discriminators":
                saved = select_discriminators(saved, state.parallel.members())
            self._check_fit(name, network.state_dict(), saved)
            network.load_state_dict(saved)

    def _check_fit(
        self, network: str, wanted: Mapping[str, Tensor], saved: Mapping[str, Tensor]
    ) -> None:
        for name in (*wanted, *saved):
            shapes = [
                str(list(part[name].shape)) if name in part else "missing"
                for part in (saved, wanted)
            ]
            if shapes[0] != shapes[1]:
                raise UserError(
                    f"{self.key}: its networks are not those of this run: {network}.{name} is "
                    f"{shapes[0]} there, and {shapes[1]} here; set the keys model and gan as there"
                )
            if not bool(saved[name].isfinite().all()):
                raise UserError(f"{self.key}: {network}.{name} is not finite (NaN or infinite)")

    def save(self, run: RunFolder) -> None:
        """Keep a copy in the folder of the run. Raises UserError if it cannot be written."""
        with writing(run.initial_file):
            run.initial_file.parent.mkdir(parents=True, exist_ok=True)
            write_tensors(run.initial_file, self.weights)


def warm_start(
    config: Config, run: RunFolder, state: State
) -> tuple[Config, InitialWeights | None]:
    """Load the weights that `model.init_from` names into the state of a run at its first step.

    Returns the config with their SHA-256, and the weights, for `InitialWeights.save`; the same
    config and None without a warm start. Raises UserError if they cannot be read, do not fit, or
    are not those that `model.init_sha256` names.
    """
    model = config.model
    if not model.init_from:
        return config, None
    key = f"model.init_from = {model.init_from!r}"
    place = str(run.initial_file) if run.initial_file.exists() else model.init_from
    initial = InitialWeights(_read(place, key), key)
    if model.init_sha256 not in ("", initial.sha256):
        raise UserError(
            f"{key}: the weights in {place} are not those that the run began with (their SHA-256 "
            f"is {initial.sha256[:12]}..., not {model.init_sha256[:12]}...)"
        )
    initial.load_into(state, config.gan.discriminators)
    return replace(config, model=replace(model, init_sha256=initial.sha256)), initial


def _read(word: str, key: str) -> Weights:
    """Return the weights of a run, a checkpoint, an export or hf://owner/name. Raises UserError."""
    model = hub_model(word)
    path = Path(word).expanduser()
    if model or path.suffix == ".safetensors":
        weights = read_export(model.download() if model else path).weights
        return {"generator": weights, "ema": weights}
    if path.suffix == ".pt":
        try:
            saved = read_tensors(path)
        except BrokenFile as error:
            raise UserError(f"{key}: broken checkpoint {path} ({error})") from error
    else:
        RunFolder(path).require()
        saved = newest_checkpoint(RunFolder(path))
        if saved is None:
            raise UserError(f"{key}: the run has no checkpoint yet")
    if not isinstance(saved, dict) or not isinstance(saved.get("generator"), dict):
        raise UserError(f"{key}: {path} is not a checkpoint of d3gan")
    ema = saved.get("ema") or saved.get("average") or saved["generator"]
    found = {"ema": ema} | {name: saved[name] for name in NETWORKS if saved.get(name)}
    return {
        network: {name: tensor.detach() for name, tensor in weights.items()}
        for network, weights in found.items()
    }
