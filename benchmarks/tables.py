"""Writes the tables of docs/benchmarks.md from the results in benchmarks/results.

    python benchmarks/tables.py

A table stands between the lines ``<!-- table: KIND FILE -->`` and ``<!-- end -->``, where KIND is a
function of this file and FILE is a result without ``.json``.
"""

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DOC = ROOT / "docs" / "benchmarks.md"
RESULTS = Path(__file__).parent / "results"
BLOCK = re.compile(r"(<!-- table: (\w+) ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

Row = dict[str, Any]


def with_tables(text: str) -> str:
    """Return the document with the tables of the stored results."""

    def table(match: re.Match[str]) -> str:
        begin, kind, name, end = match.groups()
        found = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        return f"{begin}{KINDS[kind](found)}\n{end}"

    return BLOCK.sub(table, text)


def spread(row: Row, name: str, digits: int = 2) -> str:
    """Return a median with the smallest and the largest value."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:.{digits}f} ({low:.2f} to {high:.2f})"


def machine(found: dict[str, Any]) -> str:
    """Return what computed the results."""
    here = found["environment"]
    name = ", ".join(here["gpus"]) or f"{here['cpu']} ({', '.join(here['cpu_features'])})"
    threads = "" if here["gpus"] else f", {here['threads']} threads"
    return f"{name}{threads}, torch {here['packages']['torch']}, commit {here['commit'][:10]}."


def step(found: dict[str, Any]) -> str:
    """Return the table of `d3gan bench step`: one line for each case."""
    lines = [
        machine(found),
        "",
        "| preset | N | batch | width | px | type | ms/step | plain loop, ms | times plain loop "
        "| of the matrix product | GB | GB, plain loop | kernels |",
        "|---|--:|--:|--:|--:|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    rows = found["rows"]
    for row, plain in zip(rows[::2], rows[1::2], strict=True):
        kernels = ", ".join(f"{name} {count}" for name, count in row["kernels"].items())
        joined = "; joined" if row["joined"] else ""
        lines.append(
            f"| {row['preset']} | {row['discriminators']} | {row['batch_size']} | {row['width']} "
            f"| {row['resolution']} | {row['precision']} | {row['ms_per_step']:.1f} "
            f"| {plain['ms_per_step']:.1f} | {spread(row, 'ratio_to_baseline')} "
            f"| {row['flops_per_second'] / row['matmul_flops_per_second']:.0%} "
            f"| {row['peak_memory_bytes'] / 1e9:.2f} | {plain['peak_memory_bytes'] / 1e9:.2f} "
            f"| {kernels}{joined} |"
        )
    return "\n".join(lines)


def data(found: dict[str, Any]) -> str:
    """Return the table of `d3gan bench data`."""
    lines = [
        machine(found),
        "",
        "| images from | alone, images/s | ms/step | waiting, ms | share of the step "
        "| step to resident |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for row in found["rows"]:
        lines.append(
            f"| {row['feed']} | {row['images_per_second_alone']:,.0f} | {row['ms_per_step']:.0f} "
            f"| {row['waiting_ms']:.1f} | {row['waiting_share']:.2%} "
            f"| {spread(row, 'step_ratio_to_resident', 3)} |"
        )
    return "\n".join(lines)


def scaling(found: dict[str, Any]) -> str:
    """Return the table of `d3gan bench scaling`."""
    lines = [
        machine(found),
        "",
        "| preset | scaling | mesh | processes | batch | images/s | ms/step | efficiency | exposed "
        "| warm-up, s | utilisation | peak memory, GB |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in found["rows"]:
        lines.append(
            f"| {row['preset']} | {row['scaling']} | {row['mesh'] or '-'} | {row['processes']} "
            f"| {row['batch_size']} | {row['images_per_second']:.1f} | {row['ms_per_step']:.0f} "
            f"| {spread(row, 'efficiency')} | {row['exposed_communication_share']:.1%} "
            f"| {row['warm_up_seconds']:.1f} | {row['utilisation']:.0%} "
            f"| {row['peak_memory_bytes'] / 1e9:.2f} |"
        )
    return "\n".join(lines)


KINDS = {"step": step, "data": data, "scaling": scaling}


if __name__ == "__main__":
    DOC.write_text(with_tables(DOC.read_text(encoding="utf-8")), encoding="utf-8")
