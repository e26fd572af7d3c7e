"""Tables of what the judge found, one for each group of methods."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from d3gan.report import wording
from d3gan.report.chart import styles
from d3gan.report.comparison import Comparison, groups, in_group
from d3gan.report.tables import Cell, Content, Rows, Table
from d3gan.report.wording import UNKNOWN

Group = Mapping[str, Any]


def judgement_tables(comparison: Comparison) -> dict[str, list[Table]]:
    """Return the tables of each kind that have rows."""
    kinds: dict[str, Callable[[Comparison, Group], Table]] = {
        "targets": targets,
        "times": times,
        "equal_cost": equal_cost,
        "stability": stability,
        "decomposition": decomposition,
    }
    return {
        kind: [table for group in groups(comparison) if (table := make(comparison, group)).rows]
        for kind, make in kinds.items()
    }


def targets(comparison: Comparison, group: Group) -> Table:
    """Return the targets and where they come from."""
    rows: Rows = [
        [
            f"{target['factor']:g} times the plateau",
            _goal(comparison, target["value"]),
            wording.number(target["plateau"]),
            _source(group, target),
        ]
        for target in group["targets"]
    ]
    heads = ["target", "value", "plateau", "computed from"]
    return _table("Targets", group, heads, rows)


def _source(group: Group, target: Mapping[str, Any]) -> str:
    pilot = target["source"] == "pilot"
    whose = f"{'pilot' if pilot else 'judged'} runs of {group['baseline']}"
    return f"{whose}, {'seeds' if len(target['seeds']) != 1 else 'seed'} " + wording.listed(
        [str(seed) for seed in target["seeds"]]
    )


def times(comparison: Comparison, group: Group) -> Table:
    """Return the ratio of times to a target of every comparison, and the judge's word."""
    rows: Rows = []
    for one in group["comparisons"]:
        time = one["time"] or {}
        reached = zip(time.get("reached", ()), time.get("seeds", ()), strict=True)
        rows.append([
            _heading(comparison, one),
            wording.AXES[one["clock"]],
            _goal(comparison, one["target"]),
            wording.ratio_interval(time),
            Cell(one["word"], "strong", note=_more(one["more_seeds"])),
            wording.probability(one["adjusted_p"]),
            " and ".join(f"{count} of {seeds}" for count, seeds in reached) or UNKNOWN,
        ])  # fmt: skip
    heads: list[Content] = [
        "method", "clock", "target", Cell("ratio of times", note="95 % interval"),
        "result", "adjusted p", Cell("reached by", note="method and baseline"),
    ]  # fmt: skip
    return _table(f"Time to the target, against {group['baseline']}", group, heads, rows)


def _more(seeds: int | None) -> str:
    """Return how many more seeds would probably decide a comparison; "" if it is decided."""
    if seeds is None:
        return ""
    return f"{wording.plural(seeds, 'more seed') if seeds <= 100 else 'over 100 seeds'} may decide"


def equal_cost(comparison: Comparison, group: Group) -> Table:
    """Return the ratio of the metric at equal cost, for each clock."""
    found = {
        (one["method"], one["clock"]): one for one in group["comparisons"] if one["quality"]
    }  # the same for each target
    rows: Rows = [
        [
            _heading(comparison, {**one, "primary": False}),
            wording.AXES[one["clock"]],
            wording.ratio_interval(one["quality"]),
            wording.bounds(one["quality"]["low90"], one["quality"]["high90"]),
            wording.probability(one["quality"]["p"]),
            wording.count(one["quality"]["pairs"]),
        ]
        for one in found.values()
    ]
    heads: list[Content] = [
        "method", "at equal", Cell(f"ratio of {comparison['metric']}", note="95 % interval"),
        "90 % interval", "p of equivalence", "pairs of seeds",
    ]  # fmt: skip
    return _table(f"Quality at equal cost, against {group['baseline']}", group, heads, rows)


def stability(comparison: Comparison, group: Group) -> Table:
    """Return how many runs of each method diverged or collapsed."""
    look = styles(comparison)
    rows: Rows = [
        [
            Cell(name, style=look.get(name)),
            wording.count(found["runs"]),
            *(
                cell
                for ending in ("diverged", "collapsed")
                for cell in (
                    wording.count(found[ending]),
                    UNKNOWN
                    if name == group["baseline"]
                    else wording.probability(found[f"p_{ending}"]),
                )
            ),
        ]
        for name, found in group["stability"].items()
    ]
    heads = ["method", "runs", "diverged", "p", "collapsed", "p"]
    return _table("Runs that failed", group, heads, rows)


PRODUCT: Final = ("seconds_per_image", "images_to_target")
"""Ratios whose product is the ratio of times to the target."""


def decomposition(comparison: Comparison, group: Group) -> Table:
    """Return the ratios of costs, and what the ratio of times to the first target consists of."""
    look = styles(comparison)
    rows: Rows = [
        [
            Cell(name, style=look.get(name)),
            wording.ratio_interval(costs["seconds_per_step"]),
            *(wording.ratio_interval(costs[key]) for key in PRODUCT),
            Cell(UNKNOWN if product is None else wording.ratio(product), "strong"),
            wording.ratio_interval(costs["time_to_target"]),
        ]
        for name, costs in group["costs"].items()
        for product in [costs["product"]]
    ]
    heads: list[Content] = [
        "method", "seconds per step", "seconds per image", "images to the target",
        Cell("product", note="image cost times images"), "time to the target",
    ]  # fmt: skip
    return _table(f"Ratios of costs to {group['baseline']} (95 % interval)", group, heads, rows)


def _heading(comparison: Comparison, one: Mapping[str, Any]) -> Content:
    return Cell(
        one["method"],
        style=styles(comparison).get(one["method"]),
        note="primary comparison" if one["primary"] else "",
    )


def _goal(comparison: Comparison, target: float) -> str:
    return f"{comparison['metric']}\N{NO-BREAK SPACE}{wording.number(target)}"


def _table(text: str, group: Group, heads: Sequence[Content], rows: Rows) -> Table:
    return Table(in_group(text, group), heads, rows, "cards")
