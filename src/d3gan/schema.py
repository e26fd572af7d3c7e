"""The schema of the configuration: types, defaults, help texts, allowed values and roles."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from typing_extensions import Doc

from d3gan.fields import Location, Matching, Range, Role, SameImages
from d3gan.loggers import LOGGERS
from d3gan.networks import ARCHITECTURES
from d3gan.schema_game import GanConfig, OptimConfig
from d3gan.source_names import SOURCE_NAMES

RESULT, SCHEDULE, MACHINE = Role
SIZE = r"[1-9]\d{0,5}"

Count = Annotated[int, Range(1, 10**6)]
Epochs = Annotated[float, Range(1e-6, 10**6)]
Norm = Literal["batch", "sync", "group", "none"]


@dataclass(frozen=True)
class DataConfig:
    """The real images."""

    source: Annotated[
        str,
        Matching(r".*\S.*", "a source (see d3gan data list)", no_plugin=""),
        Location(names=SOURCE_NAMES, may_be_name=True),
        SameImages(),
        RESULT,
    ] = "digits"
    """A name (see `d3gan data list`), a hub data set owner/name, or a path: a folder of images, a
    hub data set's folder, a .npy or .npz file of uint8 images."""
    split: Annotated[
        str, Matching(r"[\w.-]+", "a split such as train or test"), SameImages(), RESULT
    ] = "train"
    """Split of a data set that has several, such as train or test."""
    resolution: Annotated[int, Range(4, 4096), RESULT] = 32
    """Side of the square images in pixels. Other images are cropped at the centre and resized."""
    channels: Annotated[Literal[1, 3], RESULT] = 3
    """Number of channels of the images: 1 for grey, 3 for colour. Other images are converted."""
    flip: Annotated[bool, RESULT] = False
    """Mirror each image left to right at random."""
    limit: Annotated[int, Range(0, 10**12), RESULT] = 0
    """Number of images to use, chosen at random once; only these are decoded. 0: all images."""
    sharded: Annotated[bool, RESULT] = False
    """Divide the images among the discriminators, so that each sees only its own part (MD-GAN)."""
    swap_every_epochs: Annotated[float, Range(0, 10**6), RESULT] = 0.0
    """With data.sharded: epochs after which the discriminators exchange their parts of the images;
    0: never."""
    resident: Annotated[Literal["auto", "always", "never"], MACHINE] = "auto"
    """Whether all images are kept in the device's memory; auto: if they take less than half of the
    free memory."""
    skip_broken: Annotated[bool, RESULT] = False
    """Leave out images that cannot be read instead of stopping; they are named and counted."""
    workers: Annotated[int, Range(0, 1024), MACHINE] = 0
    """Number of threads that decode the images before training; 0: one for each CPU that the
    process may use."""


@dataclass(frozen=True)
class ModelConfig:
    """The networks."""

    architecture: Annotated[
        str, ARCHITECTURES, RESULT, Doc(f"The networks: {ARCHITECTURES.describe()}.")
    ] = "dcgan"
    init_from: Annotated[str, Location(), RESULT] = ""
    """Warm start: a run, a checkpoint (.pt) or an export (.safetensors), with whose weights the run
    begins; --init-from for short. An export has no discriminators."""
    init_sha256: Annotated[str, Matching(r"|[0-9a-f]{64}", "64 hexadecimal digits"), RESULT] = ""
    """SHA-256 of these weights, filled in when a run is created; others are refused."""
    conditional: Annotated[bool, RESULT] = False
    """Generate images of a requested class; needs labelled data."""
    latent_dim: Annotated[Count, RESULT] = 100
    """Length of the noise vector z."""
    generator_width: Annotated[Count, RESULT] = 64
    """Channels of the generator's last hidden layer. DCGAN: every stage before it has twice as many
    as the next. SNGAN up to 32 x 32: the same in all stages. R3GAN: channels of the stages up to
    32 x 32; every larger stage has half as many as the one before."""
    discriminator_width: Annotated[Count, RESULT] = 64
    """Channels of the first layer of each discriminator, by the same rules in reverse order."""
    generator_norm: Annotated[Norm, RESULT] = "batch"
    """Normalisation of the generator's layers; model.discriminator_norm explains the values. R3GAN
    has none and ignores it."""
    discriminator_norm: Annotated[Norm, RESULT] = "batch"
    """Normalisation of the discriminators' layers. batch: over the batch of each process; sync:
    over the global batch of all processes; group: over groups of channels. SNGAN, which has
    spectral normalisation, and R3GAN, which has none, ignore it."""


@dataclass(frozen=True)
class TrainConfig:
    """The training loop."""

    batch_size: Annotated[Count, RESULT] = 128
    """Real images per update of the discriminators, over all processes together."""
    accumulate: Annotated[int, Range(1, 10**4), RESULT] = 1
    """Number of micro-batches into which each process divides its part of a batch, to save memory;
    gradients are accumulated. The result is that of the whole batch, except with batch norm, whose
    statistics are those of a micro-batch, and spectral norm, which iterates once for each."""
    epochs: Annotated[Epochs, RESULT] = 25.0
    """Number of passes over the images; fractions are allowed."""
    precision: Annotated[Literal["auto", "fp32", "tf32", "bf16", "fp64"], RESULT] = "fp32"
    """Number format of the computation. tf32: fp32 whose products are computed in TF32 on CUDA;
    bf16: mixed precision; fp64: for tests of exactness; auto: bf16 on devices where it is faster
    than fp32, otherwise fp32, decided when a run is created."""
    autotune: Annotated[Literal["on", "off"], MACHINE] = "on"
    """on: measure which kernels compute the networks fastest when a run is created; off: use those
    of torch. The choice is stored with the run, because rounding depends on it."""
    deterministic: Annotated[bool, MACHINE] = False
    """Use deterministic algorithms only, even where they are slower, and choose none by measuring
    (CUDA)."""
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], MACHINE] = "auto"
    """Device of each process. auto: CUDA if available, otherwise MPS (the GPU of a Mac) for a
    single process, otherwise the CPU."""
    mesh: Annotated[
        str,
        Matching(
            rf"|data={SIZE}|(data={SIZE},)?discriminator={SIZE}",
            "a mesh such as data=2,discriminator=2",
        ),
        MACHINE,
    ] = ""
    """How processes divide the work. data=2,discriminator=2: two parts of every batch, and for each
    part two processes with half of the discriminators each; empty: divide the batch only."""
    log_every_steps: Annotated[Count, SCHEDULE] = 50
    """Steps between two rows of metrics.jsonl."""
    loggers: Annotated[
        tuple[str, ...],
        LOGGERS,
        MACHINE,
        Doc(f"What records numbers and samples besides metrics.jsonl: {LOGGERS.describe()}."),
    ] = ("tensorboard",)
    timeout_seconds: Annotated[float, Range(1, 10**6), MACHINE] = 1800.0
    """Seconds after which a process that waits for the others gives up."""


@dataclass(frozen=True)
class SamplesConfig:
    """Sample grids during training, always from the same latents."""

    every_epochs: Annotated[Epochs, SCHEDULE] = 1.0
    """Epochs between two sample grids."""
    count: Annotated[int, Range(1, 1024), SCHEDULE] = 64
    """Number of images in a sample grid."""


@dataclass(frozen=True)
class EvalConfig:
    """Metrics during training; d3gan evaluate computes them at any time."""

    every_epochs: Annotated[float, Range(0, 10**6), SCHEDULE] = 0.0
    """Epochs between two evaluations; 0: no evaluation."""
    samples: Annotated[int, Range(2, 10**7), RESULT] = 10_000
    """Number of generated images; they are compared with all real ones."""
    features: Annotated[
        str,
        Matching(r".*\S.*", "a feature extractor", no_plugin=r"classifier:.*"),
        Location("classifier:", SOURCE_NAMES, may_be_name=True),
        RESULT,
    ] = "classifier"
    """Network whose features the metrics compare. inception: the network of FID, downloaded once;
    dinov2: the network of FD-DINOv2; classifier: a classifier of the data's labels, shipped for
    mnist and cifar10, otherwise trained once; classifier:SOURCE: a classifier of the labels of
    another data source; auto: inception if its weights can be downloaded, otherwise classifier,
    decided when a run is created."""
    metrics: Annotated[tuple[str, ...], RESULT] = ()
    """Names of metrics (docs/metrics.md); empty: all that the features give."""
    monitor: Annotated[str, RESULT] = ""
    """Metric whose best value decides which checkpoint becomes checkpoints/best.pt; empty: fid or
    fd, or else the first."""
    patience: Annotated[int, Range(0, 10**6), SCHEDULE] = 0
    """Stop after this many evaluations in a row that did not improve the monitored metric by more
    than the standard error of the difference; 0: never."""
    weights: Annotated[str, Location(), MACHINE] = ""
    """Local file or folder with the weights of the features: the file of the Inception network, the
    folder of DINOv2, or a file written by d3gan data classifier; empty: downloaded once."""


@dataclass(frozen=True)
class CheckpointConfig:
    """Saved states to resume from."""

    every_epochs: Annotated[Epochs, SCHEDULE] = 1.0
    """Epochs between two checkpoints."""
    keep: Annotated[Count, SCHEDULE] = 3
    """Number of checkpoints to keep, the newest ones."""


@dataclass(frozen=True)
class Config:
    """Everything that determines a run."""

    name: Annotated[
        str,
        Matching(
            r"|(?!\.+$)(?! +$)[\w. -]{1,200}",
            "at most 200 letters, digits, spaces, . _ -, and not spaces alone",
        ),
        MACHINE,
    ] = ""
    """Name of the run and of its folder; by default that of the preset."""
    seed: Annotated[int, Range(0, 2**63 - 1), RESULT] = 0
    """Seed of everything random: weights, noise and data order."""
    out_dir: Annotated[str, Matching(r".*\S.*", "a folder"), Location(), MACHINE] = "runs"
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
    def ema_half_life(self) -> float:
        """Half-life of the generator's moving average in images; 0: there is no average."""
        in_steps = self.optim.ema_half_life_steps * self.images_per_step
        return self.optim.ema_half_life_images or in_steps

    @property
    def batches_per_step(self) -> int:
        """Batches that a step uses: one for each update of the discriminators, and a fresh one."""
        return self.gan.discriminator_steps + self.gan.fresh_batch

    def total_steps(self, images: int) -> int:
        """Return the steps of a run over a data set of `images` images.

        Batches have one size, so the last one may reach into another epoch.
        """
        return math.ceil(self.train.epochs * images / self.images_per_step)

    @property
    def run_dir(self) -> Path:
        """The run's folder."""
        return Path(self.out_dir) / self.name
