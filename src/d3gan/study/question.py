"""What a study asks. It is fixed before the runs are judged, and saved beside them."""

from dataclasses import dataclass

from d3gan.study.records import AXES, Axis

FILE = "study.json"
"""Name of the file in the folder of a study's runs that holds its question."""


@dataclass(frozen=True)
class Primary:
    """The one comparison that a study names beforehand; all others are secondary."""

    method: str
    clock: Axis = "seconds"
    target: float = 1.25
    """The target as a multiple of the baseline's plateau; one of `Question.targets`."""


@dataclass(frozen=True)
class Question:
    """How the runs of a study are judged."""

    baseline: str = ""
    """The method that the others are compared with; "": the one with the fewest discriminators."""
    metric: str = ""
    """The metric to judge by; "": the one that the runs monitor."""
    primary: Primary | None = None
    """None: the only other method, if there is only one; otherwise no comparison is primary."""
    pilot_seeds: tuple[int, ...] = ()
    """Seeds of the runs that fix the targets and are not judged."""
    targets: tuple[float, ...] = (1.25, 1.1)
    """Targets as multiples of the baseline's plateau."""
    clocks: tuple[Axis, ...] = AXES
    """Costs at which methods are compared."""
    margin: float = 0.15
    """Two methods are equivalent if their metric differs by less than this share at equal cost."""
    collapsed_below: float = 0.5
    """A run collapsed if it covers less than this share of the real data's modes."""
    vary: tuple[str, ...] = ()
    """Keys whose values separate groups of methods; methods are compared within a group only."""
