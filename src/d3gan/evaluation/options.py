"""Options of an evaluation by `d3gan evaluate` or `d3gan.evaluate`; imports no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from d3gan.errors import UserError
from d3gan.evaluation.features.names import check_features, names_plugin
from d3gan.evaluation.protocol import REPORT_SEEDS
from d3gan.fields import Range, checked
from d3gan.hub import hub_model
from d3gan.run_places import mistaken_for_run
from d3gan.runs import RunFolder


@dataclass(frozen=True)
class EvaluationOptions:
    """What to measure, what to compare it with, and how. Empty texts and 0 mean not given."""

    target: str
    """Run folder, export (.safetensors, hf://owner/name), or images
    named as a data source."""
    against: str = ""
    """Real images to compare with: a folder, a file or a name; by default those the run was
    trained on."""
    features: str = ""
    """inception: the network of FID; metrics fid and is.
    dinov2: ViT-L/14, for FD-DINOv2; fd. Needs d3gan[dinov2].
    classifier: trained on the real images' labels; fd and cs.
    classifier:SOURCE: trained on another source's labels.
    module.path:Name: a plugin; fd.
    If not given, the features of the run's config, or inception for images."""
    metrics: tuple[str, ...] = ()
    """Metrics to compute, such as fd kd recall (docs/metrics.md); if none is given, all that the
    features allow. The lines below the table explain them."""
    samples: int = 0
    """Number of images to measure; 0: 50,000 images of a run, or all images of a set."""
    checkpoint: str = "last"
    """Checkpoint of a run: best, last or a step; all: every checkpoint, in one column each."""
    split: str = ""
    """Split of the images; by default train."""
    against_split: str = ""
    """Split of the real images; by default train."""
    resolution: int = 0
    """Side of the images compared, in pixels; 0: as the run or
    the images."""
    channels: int = 0
    """Number of channels: 1 for grey, 3 for colour, 0 for those of the run or the images."""
    draws: int = len(REPORT_SEEDS)
    """Number of times that images are drawn from a run, each time with other latents; the metrics
    are means over these draws."""
    seed: int = REPORT_SEEDS[0]
    """Seed of the first draw; each further draw adds 1. The best checkpoint of a run was selected
    with seed 0, so seed 0 is not among the default draws."""
    weights: str = ""
    """Local file or folder with the weights of the features: the file of the Inception network, the
    folder of DINOv2 (both for machines without internet access), or a file written by
    d3gan data classifier."""
    allow_few: bool = False
    """Compute the Fréchet distance even from fewer images than
    features."""
    skip_broken: bool = False
    """Leave out images that cannot be read."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device; auto: CUDA, or MPS, where there is one."""

    @property
    def is_run(self) -> bool:
        """Whether the target is a run or an export, not a set of images."""
        target = Path(self.target)
        export = target.suffix == ".safetensors" or hub_model(self.target) is not None
        return export or RunFolder(target).exists()

    def check_values(self) -> None:
        """Raise UserError for a value out of range."""
        checked(Annotated[int, Range(1, 1000)], self.draws, "draws")
        checked(Annotated[int, Range(0, 2**63 - self.draws)], self.seed, "seed")
        if self.samples:
            checked(Annotated[int, Range(2, 10**7)], self.samples, "samples")
        if self.resolution:
            checked(Annotated[int, Range(8, 2048)], self.resolution, "resolution")
        if self.channels not in (0, 1, 3):
            raise UserError(f"channels = {self.channels}: must be 1 or 3")
        if self.features:
            check_features(self.features)
        if self.weights and self.features and names_plugin(self.features):
            raise UserError(f"weights = {self.weights!r}: {self.features} loads its own; omit them")

    def check(self) -> None:
        """Raise UserError for a value out of range, or one that does not apply to the target."""
        mistaken = None if self.is_run else mistaken_for_run(Path(self.target), "evaluate")
        if mistaken:
            raise UserError(mistaken)
        self.check_values()
        if self.is_run and (self.resolution or self.channels):
            raise UserError("resolution and channels are fixed by the run; leave them out")
        if self.is_run and self.split:
            raise UserError("split is for images; for the real images give --against-split")
        given = (self.draws, self.seed, self.checkpoint)
        if not self.is_run and given != (len(REPORT_SEEDS), REPORT_SEEDS[0], "last"):
            raise UserError(
                f"draws, seed and checkpoint are for runs, and {self.target} is not a run"
            )
