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
    """Return what computed the results; older ones say less."""
    here = found["environment"]
    features = f" ({', '.join(here['cpu_features'])})" if "cpu_features" in here else ""
    threads = f", {here['threads']} threads" if "threads" in here else ""
    name = ", ".join(here["gpus"]) or f"{here['cpu']}{features}{threads}"
    return f"{name}, torch {here['packages']['torch']}, commit {here['commit'][:10]}."


def markdown(found: dict[str, Any], columns: str, cells: list[list[str]]) -> str:
    """Return the machine and a table; names of `columns` that begin with < are left-aligned."""
    names = columns.split(" | ")
    rule = ["---" if name.startswith("<") else "--:" for name in names]
    rows = [[name.removeprefix("<") for name in names], *cells]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([machine(found), "", lines[0], f"|{'|'.join(rule)}|", *lines[1:]])


def step(found: dict[str, Any]) -> str:
    """Return the table of `d3gan bench step`: one line for each case."""
    columns = (
        "<preset | N | batch | width | px | <type | ms/step | plain loop, ms | times plain loop "
        "| of the matrix product | GB | GB, plain loop | <kernels"
    )
    cells = []
    for row, plain in zip(found["rows"][::2], found["rows"][1::2], strict=True):
        kernels = ", ".join(f"{name} {count}" for name, count in row["kernels"].items())
        names = ("preset", "discriminators", "batch_size", "width", "resolution", "precision")
        cells.append(
            [
                *(str(row[name]) for name in names),
                f"{row['ms_per_step']:.1f}",
                f"{plain['ms_per_step']:.1f}",
                spread(row, "ratio_to_baseline"),
                f"{row['flops_per_second'] / row['matmul_flops_per_second']:.0%}",
                f"{row['peak_memory_bytes'] / 1e9:.2f}",
                f"{plain['peak_memory_bytes'] / 1e9:.2f}",
                kernels + ("; joined" if row["joined"] else ""),
            ]
        )
    return markdown(found, columns, cells)


def data(found: dict[str, Any]) -> str:
    """Return the table of `d3gan bench data`."""
    columns = (
        "<images from | alone, images/s | ms/step | waiting, ms | share of the step "
        "| step to resident"
    )
    cells = [
        [
            row["feed"],
            f"{row['images_per_second_alone']:,.0f}",
            f"{row['ms_per_step']:.0f}",
            f"{row['waiting_ms']:.1f}",
            f"{row['waiting_share']:.2%}",
            spread(row, "step_ratio_to_resident", 3),
        ]
        for row in found["rows"]
    ]
    return markdown(found, columns, cells)


def scaling(found: dict[str, Any]) -> str:
    """Return the table of `d3gan bench scaling`."""
    columns = (
        "<preset | <scaling | <mesh | processes | batch | images/s | ms/step | efficiency "
        "| exposed | warm-up, s | utilisation | peak memory, GB"
    )
    cells = [
        [
            row["preset"],
            row["scaling"],
            row["mesh"] or "-",
            str(row["processes"]),
            str(row["batch_size"]),
            f"{row['images_per_second']:.1f}",
            f"{row['ms_per_step']:.0f}",
            spread(row, "efficiency"),
            f"{row['exposed_communication_share']:.1%}",
            f"{row['warm_up_seconds']:.1f}",
            f"{row['utilisation']:.0%}",
            f"{row['peak_memory_bytes'] / 1e9:.2f}",
        ]
        for row in found["rows"]
    ]
    return markdown(found, columns, cells)


KINDS = {"step": step, "data": data, "scaling": scaling}


if __name__ == "__main__":
    DOC.write_text(with_tables(DOC.read_text(encoding="utf-8")), encoding="utf-8")
