"""The parts of a page that tell what its numbers come from: runs, configs, machines, contract."""

from collections.abc import Mapping, Sequence
from typing import Any

from d3gan.report import wording
from d3gan.report.chart import Comparison, Runs, Style
from d3gan.report.elements import method, missing, swatch, table
from d3gan.report.markup import Html, joined, tag


def runs_part(comparison: Comparison, look: Mapping[str, Style]) -> Html:
    """Every run: how it ended, how far it came, where it is."""
    rows = []
    for name, entries in comparison["runs"].items():
        for run in entries:
            best = run.get("best") or {}
            value = best.get("value")
            rows.append([
                joined(swatch(look[name]), run.get("name") or name),
                wording.UNKNOWN if run.get("seed") is None else run["seed"],
                run.get("status") or wording.UNKNOWN,
                wording.count(run.get("images")),
                wording.count(run.get("steps")),
                wording.duration(run.get("train_seconds")),
                wording.quantity(run.get("flops"), "FLOP"),
                wording.number(value),
                wording.count(best.get("images")),
                tag("code", run.get("path", "")),
            ])  # fmt: skip
    heads = [
        "run", "seed", "status", "images", "steps", "training time", "compute",
        f"best {comparison['metric']}", "at images", "folder",
    ]  # fmt: skip
    counts = []
    for status in ("finished", "unfinished", "diverged", "collapsed"):
        count = sum(
            run.get("status") == status for runs in comparison["runs"].values() for run in runs
        )
        counts.append(f"{count} {status}")
    return joined(
        tag("p", f"{', '.join(counts)}. Collapsed: finished, but generates fewer classes than the "
                 "data have.", class_="faint"),
        table("Every run of the study", heads, rows),
    )  # fmt: skip


def configs_part(comparison: Comparison, look: Mapping[str, Style]) -> Html:
    """What differs between methods, and the whole configuration of each."""
    configs = comparison.get("configs") or {}
    wholes = [
        tag(
            "details",
            tag("summary", f"Whole configuration of {name}"),
            table(
                f"Configuration of {name}",
                ["key", "value"],
                [(tag("code", key), wording.setting(value)) for key, value in config.items()],
                words=True,
            ),
        )
        for name, config in configs.items()
    ]
    return joined(
        tag("h3", "Differences"),
        _differences(comparison, look),
        tag("h3", "Everything") if wholes else missing("The configurations are not known."),
        *wholes,
    )


def _differences(comparison: Comparison, look: Mapping[str, Style]) -> Html:
    baseline = comparison.get("baseline", "")
    others = {n: d or {} for n, d in (comparison.get("differences") or {}).items() if n != baseline}
    if not others:
        alone = len(comparison["runs"]) < 2
        told = "There is no other method to differ from."
        return missing(told if alone else "The differences are not known.")
    bases: dict[str, object] = {}
    for differences in others.values():
        bases |= {key: pair[0] for key, pair in differences.items()}
    if not bases:
        return tag("p", "All methods have the same configuration.")
    rows: list[list[object]] = []
    for key, base in bases.items():
        row: list[object] = [tag("code", key), wording.setting(base)]
        for differences in others.values():
            if key in differences:
                row.append(tag("td", wording.setting(differences[key][1]), class_="other"))
            else:
                row.append(tag("td", tag("small", "the same")))
        rows.append(row)
    heads = [
        "key",
        joined(method(baseline, look) if baseline in look else baseline, " (baseline)"),
        *(method(name, look) if name in look else name for name in others),
    ]
    return table(
        "Every key that changes the result and is not the baseline's", heads, rows, words=True
    )


def environment_part(runs: Runs) -> Html:
    """Where the runs were trained, told apart where they differ."""
    known: dict[str, dict[str, list[str]]] = {}
    commands: dict[str, str] = {}
    times, total, without = [], 0, []
    for folder in (folder for folders in runs.values() for folder in folders):
        total += 1
        sessions = folder.sessions()
        if not sessions:
            without.append(folder.path.name)
        for session in sessions:
            flat = _flat(session)
            times.append(flat.pop("time", "").replace("T", " ").replace("+00:00", " UTC"))
            commands.setdefault(flat.pop("command", ""), folder.path.name)
            for key, value in flat.items():
                names = known.setdefault(key, {}).setdefault(value, [])
                if folder.path.name not in names:
                    names.append(folder.path.name)
    if not known:
        return missing("The runs tell nothing of where they were trained (no environment.json).")
    rows = [(key, _values(values, total)) for key, values in known.items()]
    if times := sorted(filter(None, times)):
        rows.insert(0, ("time", joined(" to ".join(dict.fromkeys((times[0], times[-1]))))))
    lines = [(name, tag("code", command)) for command, name in commands.items() if command]
    return joined(
        missing(f"Not told by {wording.listed(without)}.") if without else None,
        table("Where the runs were trained", ["what", "value"], rows, words=True),
        tag(
            "details",
            tag("summary", f"Commands ({len(lines)})"),
            table("The command that began each run", ["run", "command"], lines, words=True),
        )
        if lines
        else None,
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key} ")
        elif key == "command" and isinstance(value, list):
            flat[key] = " ".join(map(str, value))
        else:
            flat[f"{prefix}{key}".replace("_", " ")] = wording.setting(value)
    return flat


def _values(values: Mapping[str, Sequence[str]], total: int) -> Html:
    """A value, or each with the runs that have it where they differ."""
    if len(values) == 1:
        ((value, names),) = values.items()
        if len(names) == total:
            return joined(value)
    parts = []
    for value, names in values.items():
        where = f"{len(names)} of {wording.plural(total, 'run')}"
        if len(names) <= total / 2:
            where += f": {wording.listed(list(names))}"
        parts.append(tag("div", value, " ", tag("small", f"({where})")))
    return joined(*parts)


def contract_part(comparison: Comparison) -> Html:
    """What the metrics depend on."""
    contract = comparison.get("contract")
    if not contract:
        return missing("The evaluations tell no contract.")
    rows = [(key.replace("_", " "), wording.setting(value)) for key, value in contract.items()]
    return joined(
        tag(
            "p",
            "What all numbers of this page depend on. It is the same for every run; runs that were "
            "measured otherwise are never put beside one another.",
            class_="faint",
        ),
        table("EvaluationProtocol of all evaluations", ["what", "value"], rows, words=True),
    )
