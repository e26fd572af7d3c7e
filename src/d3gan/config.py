"""The configuration: its schema, its defaults, its help texts, and what is checked.

A wrong value is one line that names the key, the value, and what is allowed.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import tomli_w

from d3gan.errors import UserError
from d3gan.fields import Matching, OneOf, Range, checked
from d3gan.gan.aggregation import AGGREGATIONS
from d3gan.gan.objectives import OBJECTIVES
from d3gan.gan.schedules import SCHEDULES
from d3gan.networks import ARCHITECTURES
from d3gan.networks.dcgan import RESOLUTIONS
from d3gan.registry import nearest

Count = Annotated[int, Range(1, 10**6)]
Epochs = Annotated[float, Range(1e-6, 10**6)]
Rate = Annotated[float, Range(0, 10, above=True)]
NotNegative = Annotated[float, Range(0, 1e12)]
Momentum = Annotated[float, Range(0, 0.999999)]
_SIZE = r"[1-9]\d{0,5}"
Norm = Literal["batch", "sync", "group", "none"]


@dataclass(frozen=True)
class DataConfig:
    """The real images."""

    source: Annotated[str, Matching(r".*\S.*", "a source (see d3gan data list)")] = "digits"
    """A name (see `d3gan data list`), a hub data set owner/name, or a path: a folder of images, a
    hub data set's folder, a .npy or .npz file of uint8 images."""
    split: Annotated[str, Matching(r"[\w.-]+", "a split such as train or test")] = "train"
    """Which part of a data set that has parts."""
    resolution: Annotated[int, OneOf(RESOLUTIONS)] = 32
    """Side of the square images, pixels. Others are cropped at the centre and resized."""
    channels: Literal[1, 3] = 3
    """1: grey; 3: colour."""
    flip: bool = False
    """Mirror each image left to right at random."""
    limit: Annotated[int, Range(0, 10**12)] = 0
    """Use only so many images, a fixed random choice; 0: all."""
    resident: Literal["auto", "always", "never"] = "auto"
    """Keep all images in the device's memory; auto: if they take less than half of what is free."""
    skip_broken: bool = False
    """Leave out images that cannot be read, instead of stopping; they are named and counted."""
    workers: Annotated[int, Range(0, 1024)] = 0
    """Threads that decode images, once; 0: one per CPU."""


@dataclass(frozen=True)
class ModelConfig:
    """The networks."""

    architecture: Annotated[str, OneOf(tuple(ARCHITECTURES))] = "dcgan"
    latent_dim: Count = 100
    """Length of the noise vector z."""
    generator_width: Count = 64
    """Channels at the image; they double at every stage towards the latent."""
    discriminator_width: Count = 64
    """The same for each discriminator."""
    generator_norm: Norm = "batch"
    discriminator_norm: Norm = "batch"
    """batch: each process by itself; sync: the whole batch over all processes."""


@dataclass(frozen=True)
class GanConfig:
    """The game."""

    discriminators: Annotated[int, Range(1, 64)] = 1
    """1: DCGAN; 2: D3GAN; more as you like."""
    objective: Annotated[str, OBJECTIVES] = "non_saturating"
    """What is minimised: non_saturating, hinge, least_squares."""
    aggregation: Annotated[str, AGGREGATIONS] = "original"
    """How the generator weighs its discriminators: original, max, min, mean, random,
    softmax(temperature=1.0), dropout(p=0.5), hypervolume(delta=1.1), hardest_per_sample,
    softmax_per_sample(temperature=1.0)."""
    discriminator_steps: Annotated[int, Range(1, 64)] = 1
    """Updates of the discriminators, each on a batch of its own, for every update of the
    generator."""
    r1_gamma: NotNegative = 0.0
    """Weight of the R1 gradient penalty of every discriminator; 0: none."""


@dataclass(frozen=True)
class OptimConfig:
    """Adam for all, and an average of the generator's weights."""

    lr_g: Rate = 2e-4
    lr_d: Rate = 2e-4
    beta1: Momentum = 0.5
    beta2: Momentum = 0.999
    schedule: Annotated[str, SCHEDULES] = "constant"
    """Learning rates over the run: constant, linear_decay(start=0.5)."""
    ema_half_life_images: NotNegative = 0.0
    """Sample from an exponential moving average of the generator with this half-life, in images;
    0: no average."""


@dataclass(frozen=True)
class TrainConfig:
    """The training loop."""

    batch_size: Count = 128
    """Real images in every update of the discriminators, over all processes together."""
    epochs: Epochs = 25.0
    """How often every image is seen; fractions are allowed."""
    engine: Literal["fast", "reference"] = "fast"
    """reference: the plain loop, slow, on one process: the yardstick of fast."""
    precision: Literal["fp32", "bf16", "fp64"] = "fp32"
    """bf16: mixed precision; fp64: for tests of exactness."""
    deterministic: bool = False
    """Use deterministic algorithms alone, also where they are slower (CUDA)."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: CUDA where there is one."""
    mesh: Annotated[
        str,
        Matching(
            rf"|data={_SIZE}|(data={_SIZE},)?discriminator={_SIZE}",
            "a mesh such as data=2,discriminator=2",
        ),
    ] = ""
    """How processes divide the work, as data=2,discriminator=2: two parts of every batch, and for
    each of them two processes with half of the discriminators; not given: the batch alone."""
    shared_memory: bool = True
    """Processes on one machine's CPUs average gradients in memory that they share; without, and on
    several machines, through gloo."""
    log_every_steps: Count = 50
    """Steps between two rows of metrics.jsonl."""
    timeout_seconds: Annotated[float, Range(1, 10**6)] = 1800.0
    """How long a process waits for the others before it gives up."""


@dataclass(frozen=True)
class SamplesConfig:
    """Pictures of the generator at work, always from the same latents."""

    every_epochs: Epochs = 1.0
    count: Annotated[int, Range(1, 1024)] = 64


@dataclass(frozen=True)
class EvalConfig:
    """Metrics during training; d3gan evaluate takes them at any time."""

    every_epochs: Annotated[float, Range(0, 10**6)] = 0.0
    """0: never."""
    samples: Annotated[int, Range(2, 10**7)] = 10_000
    """Generated images; they are compared with all real ones."""
    features: Annotated[
        str,
        Matching(r"inception|classifier(:.*\S.*)?", "inception, classifier or classifier:SOURCE"),
    ] = "classifier"
    """inception: the network of FID, which is fetched; classifier: one trained on the labels of the
    data, once; classifier:SOURCE: on those of other data."""
    metrics: tuple[str, ...] = ()
    """Some of fd cs (fid is with inception), kid, precision, recall, density, coverage, and with a
    classifier modes, kl_uniform, kl_data; none named: all."""
    monitor: str = ""
    """The metric whose best value decides what is kept as checkpoints/best.pt; not named: fid or
    fd, or else the first."""
    patience: Annotated[int, Range(0, 10**6)] = 0
    """Stop when so many evaluations in a row did not improve the monitored metric by more than its
    standard error; 0: never."""
    weights: str = ""
    """A local file of the Inception weights; not named: fetched once."""


@dataclass(frozen=True)
class CheckpointConfig:
    """Saved states to continue from."""

    every_epochs: Epochs = 1.0
    keep: Count = 3
    """The newest so many are kept."""


@dataclass(frozen=True)
class Config:
    """Everything that determines a run."""

    name: Annotated[
        str, Matching(r"(?!\.+$)[\w. -]{0,200}", "at most 200 letters, digits, spaces, . _ -")
    ] = ""
    """Name of the run and of its folder; as a rule that of the preset."""
    seed: Annotated[int, Range(0, 2**63 - 1)] = 0
    """Decides weights, noise and data order, all of them."""
    out_dir: Annotated[str, Matching(r".*\S.*", "a folder")] = "runs"
    """The folder that holds the runs' folders."""
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    gan: GanConfig = field(default_factory=GanConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    samples: SamplesConfig = field(default_factory=SamplesConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)

    @property
    def images_per_step(self) -> int:
        """Real images that a step shows to the discriminators, over all processes."""
        return self.train.batch_size * self.gan.discriminator_steps

    @property
    def run_dir(self) -> Path:
        return Path(self.out_dir) / self.name


# Reading and checking


def validate(config: Config) -> Config:
    """The same config, once its values are in range and go together. Raises UserError."""
    same = from_dict(to_dict(config))
    rule = AGGREGATIONS.build(config.gan.aggregation)
    if OBJECTIVES.build(config.gan.objective).signed and not rule.takes_signed:
        raise UserError(
            f"gan.aggregation = {config.gan.aggregation!r} needs losses above zero, which "
            f"gan.objective = {config.gan.objective!r} does not give; choose another of the two"
        )
    if config.train.engine == "reference" and config.train.precision == "bf16":
        raise UserError("train.engine = 'reference': knows fp32 and fp64; use fast for bf16")
    if config.data.source == "stacked-mnist" and config.data.channels != 3:
        raise UserError("data.channels = 1: stacked-mnist needs 3")
    return same


def from_dict(values: Mapping[str, Any], base: Config | None = None, origin: str = "") -> Config:
    """`base` with `values` (nested as in TOML) put over it. Raises UserError naming the key.

    `origin` stands before messages, for example the file's name.
    """
    base = base or Config()
    updated: Config = _updated(base, values, prefix="", origin=f"{origin}: " if origin else "")
    return updated


def _updated(section: Any, values: Mapping[str, Any], prefix: str, origin: str) -> Any:
    hints = get_type_hints(type(section), include_extras=True)
    changes = {}
    for key, value in values.items():
        name = prefix + key
        if key not in hints:
            hint = nearest(name, keys())
            raise UserError(f"{origin}unknown key {name} = {value!r}{hint or _allowed(prefix)}")
        if dataclasses.is_dataclass(hints[key]):
            if not isinstance(value, Mapping):
                raise UserError(f"{origin}{name} = {value!r}: must be a table of keys")
            changes[key] = _updated(getattr(section, key), value, f"{name}.", origin)
        else:
            changes[key] = checked(hints[key], value, f"{origin}{name}")
    return dataclasses.replace(section, **changes)


def _allowed(prefix: str) -> str:
    here = [key for key in keys() if key.startswith(prefix)]
    return f"; allowed: {', '.join(here)}"


def to_dict(config: Config) -> dict[str, Any]:
    """Nested as in TOML."""
    return dataclasses.asdict(config)


def to_toml(config: Config) -> str:
    """The text of a file that `load_file` reads back as the same config."""
    return tomli_w.dumps(to_dict(config))


def keys() -> list[str]:
    """All keys, dotted: ``["name", ..., "data.source", ...]``."""
    return list(flatten(to_dict(Config())))


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"data": {"flip": True}}`` as ``{"data.flip": True}``."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        nested = flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else None
        flat |= nested if nested is not None else {prefix + key: value}
    return flat
