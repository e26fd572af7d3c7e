"""Simulates studies whose truth is known: how often the judge is right.

    python benchmarks/simulated_judge.py

The tables are those of docs/judge.md. The noise is that of the committed pilots, pooled over
methods (d3gan.study.pilot). The program writes results/simulated-judge.json beside this file and
prints the tables. It takes five minutes on two CPU cores.
"""

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from d3gan.runs import RunFolder
from d3gan.study.pilot import Pilot, Runs, pooled_pilot, read_runs
from d3gan.study.records import Axis, Metric, Record, load
from d3gan.study.simulation import Design, Truth, length_for, tally

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "simulated-judge.json"
PILOTS: dict[str, Axis] = {"mnist-pilot": "images", "mnist-cpu": "seconds"}
"""Results in studies/results, with the clock of their costs."""
CENSORED = (0.01, 0.2, 0.5)
"""Shares of the baseline's runs that do not reach the target; 1 % stands for none, since noise
without bounds never lets all runs reach it."""
STUDIES = {8: 600, 10: 600, 20: 300}
"""Simulated studies for each number of seeds."""
FASTER, CLAIM, EQUIVALENT = ("faster",), ("faster", "slower"), ("equivalent",)


@dataclass(frozen=True)
class Question:
    """A row of the table."""

    title: str
    truth: Truth
    words: tuple[str, ...]
    """Words that are counted together; none: how often the interval of times holds the truth."""
    seeds: tuple[int, ...]
    asked: str
    factor: float = 1.25

    def design(self, seeds: int, length: float) -> Design:
        """Return the design with runs of a length. The permutation test of times takes all runs as
        independent; equivalence is tested in pairs of seeds, which are correlated."""
        correlated = self.words == EQUIVALENT
        return Design(seeds, self.factor, length=length, correlated=correlated)


FAILING = "half of the runs fail, the others {:g} times as fast"
ROWS = (
    Question("1.31 times as fast", Truth(1.31), FASTER, (8, 10, 20), "8 seeds: at least 80 %"),
    Question("equal", Truth(), CLAIM, (8, 20), "at most 5 %"),
    Question("equal", Truth(), EQUIVALENT, (8, 20), "20 seeds: at least 80 %"),
    *(
        Question(FAILING.format(speed), Truth(speed, failing=0.5), FASTER, (8,), "at most 2.5 %", f)
        for speed in (1.31, 2.0)
        for f in (1.25, 1.1)
    ),
    Question("equal", Truth(), (), (8, 20), "93 to 98 %"),
    Question("1.31 times as fast", Truth(1.31), (), (8, 20), "93 to 98 %"),
)


def read(name: str) -> Pilot:
    """Return the pooled noise of the methods in studies/results/NAME. Both methods have the
    baseline's cost of an image."""
    folder = ROOT / "studies" / "results" / name
    runs = _from_folders(folder, PILOTS[name]) or _from_comparison(folder)
    others = {key: value for key, value in runs.items() if key not in ("dcgan", "d3gan")}
    pilot = pooled_pilot(runs["dcgan"], runs["d3gan"], others, 1.25)
    return replace(pilot, method_cost=pilot.cost)


def _from_folders(folder: Path, clock: Axis) -> dict[str, Runs]:
    records: dict[str, list[Record]] = {}
    for status in sorted(folder.glob("**/status.json")):
        record = load(RunFolder(status.parent))
        records.setdefault(record.name.partition("-seed")[0], []).append(record)
    return {
        name: read_runs(name, found, Metric("fd", "lower"), clock)
        for name, found in records.items()
    }


def _from_comparison(folder: Path) -> dict[str, Runs]:
    """Return the runs of a comparison of which only the curves were kept."""
    curves = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))["curves"]
    return {
        name: Runs(
            tuple(run["seed"] for run in curve["runs"]),
            np.array(curve["runs"][0]["images"], float),
            np.log([run["values"] for run in curve["runs"]]),
            np.log([run["seconds"][-1] / run["images"][-1] for run in curve["runs"]]),
        )
        for name, curve in curves.items()
    }


def measure(name: str) -> list[dict[str, Any]]:
    """Return the numbers of all rows: for each number of seeds a share for each of CENSORED."""
    pilot = read(name)
    lengths = {
        (factor, share): length_for(pilot, share, Design(8, factor), studies=60)
        for factor in {row.factor for row in ROWS}
        for share in CENSORED
    }
    cells = [(row, seeds) for row in ROWS for seeds in row.seeds]
    designs = {
        (row.truth, row.design(seeds, lengths[row.factor, share]))
        for row, seeds in cells
        for share in CENSORED
    }
    with ProcessPoolExecutor() as processes:
        running = {
            (truth, design): processes.submit(tally, pilot, truth, design, STUDIES[design.seeds])
            for truth, design in designs
        }
        found = {key: future.result() for key, future in running.items()}
    rows = []
    for row, seeds in cells:
        said = [
            found[row.truth, row.design(seeds, lengths[row.factor, share])] for share in CENSORED
        ]
        shares = [
            part.share(*row.words) if row.words else part.time_covered / part.studies
            for part in said
        ]
        counted = " or ".join(row.words) or "interval holds the truth"
        rows.append(
            {"truth": row.title, "factor": row.factor, "counted": counted, "seeds": seeds,
             "shares": shares, "censored": [round(part.censored, 3) for part in said],
             "studies": STUDIES[seeds], "asked": row.asked}
        )  # fmt: skip
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table in Markdown."""
    heading = " | ".join(f"{round(100 * c / 5) * 5} %" for c in CENSORED)
    lines = [
        f"| truth | target | counted | seeds | {heading} | wanted |",
        "|---|--:|---|--:|--:|--:|--:|---|",
    ]
    for row in rows:
        shares = " | ".join(f"{100 * share:.1f}" for share in row["shares"])
        lines.append(
            f"| {row['truth']} | {row['factor']:g} | {row['counted']} | {row['seeds']} | {shares} "
            f"| {row['asked']} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Simulate, write the results and print the tables."""
    results = {name: measure(name) for name in PILOTS}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    for name, rows in results.items():
        print(f"\n{name}\n\n{table(rows)}")


if __name__ == "__main__":
    main()
