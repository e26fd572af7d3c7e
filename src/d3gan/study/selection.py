"""Which runs a comparison judges, as groups of methods; all others are listed with the reason."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from d3gan.errors import UserError
from d3gan.evaluation.metrics.names import metric_names, right_name
from d3gan.evaluation.protocol import difference
from d3gan.registry import nearest
from d3gan.runs import RunFolder
from d3gan.shell import command_line
from d3gan.study import methods
from d3gan.study.measures import Group
from d3gan.study.methods import Method
from d3gan.study.question import Question
from d3gan.study.records import Metric, Record, load

Protocol = dict[str, Any]


@dataclass
class Selection:
    """Runs to judge, and the runs that are left out."""

    metric: Metric
    protocol: Protocol | None
    """The protocol of all evaluations; None if there are none."""
    groups: list[Group] = field(default_factory=list)
    """In each of them the baseline is the first method. Every method has a run."""
    left_out: dict[str, str] = field(default_factory=dict)
    """For each run that is left out, by its name, the reason as the rest of a sentence."""
    damaged: dict[str, str] = field(default_factory=dict)
    """For each run with a damaged file, by its name, what is wrong. It is left out, unless the file
    is environment.json."""
    unjudged: list[Record] = field(default_factory=list)
    """Records of the runs that are left out, as far as they are readable."""


def select(runs: Sequence[RunFolder], question: Question) -> Selection:
    """Return the runs that can be judged.

    A run is left out if its files are damaged, if it has no evaluation (unless it diverged), if its
    evaluations lack the metric or have another protocol than the baseline's, or if it is the second
    one of a method with the same seed. Methods without a baseline to be compared with are left out
    too. Raises UserError if the question names a baseline or a metric that no run has.
    """
    left_out: dict[str, str] = {}
    damaged: dict[str, str] = {}
    loaded = _loaded(runs, left_out, damaged)
    records = _comparable(loaded, question, left_out)
    pilot = [record for record in records if record.seed in question.pilot_seeds]
    judged = [record for record in records if record.seed not in question.pilot_seeds]
    groups = _groups(judged, question)
    if records and not left_out:
        _check_baseline(groups, question)
    of_baselines = [record for base, others in groups for record in (base.records if base else ())]
    metric = _metric([*of_baselines, *judged, *pilot], question)
    protocol = _protocol(of_baselines) or _protocol(records)
    found = Selection(metric, protocol, left_out=left_out, damaged=damaged)
    usable = {id(record) for record in records if _is_usable(record, found)}
    for base, others in groups:
        kept = [
            replace(method, records=[r for r in method.records if id(r) in usable])
            for method in (base, *others)
            if method
        ]
        kept = [method for method in kept if method.records]
        if not base or not kept or kept[0].name != base.name:
            name = base.name if base else question.baseline
            for record in (record for method in kept for record in method.records):
                reason = f"has no run of the baseline {name} to be compared with"
                left_out[_key(record.run, left_out)] = reason
            continue
        key = methods.method_key(base.records[0], question.vary)
        fixing = [
            r for r in pilot if id(r) in usable and methods.method_key(r, question.vary) == key
        ]
        varied = methods.varied_values(base.records[0], question.vary)
        found.groups.append(Group(kept, fixing, varied))
    judged_ones = {id(r) for group in found.groups for m in group.methods for r in m.records}
    used = judged_ones | {id(record) for record in pilot}
    found.unjudged = [record for record in loaded if id(record) not in used]
    return found


def _key(run: RunFolder, left_out: dict[str, str]) -> str:
    """Return the name of a run, or its path if another run of this name is left out."""
    return run.path.name if run.path.name not in left_out else str(run.path)


def _loaded(
    runs: Sequence[RunFolder], left_out: dict[str, str], damaged: dict[str, str]
) -> list[Record]:
    """Return the records of the runs that exist and are not damaged."""
    records = []
    for run in runs:
        key = _key(run, left_out)
        if not run.exists():
            left_out[key] = "has not been trained yet"
            continue
        try:
            records.append(load(run))
        except UserError as error:
            left_out[key] = damaged[key] = f"cannot be read: {error}"
        else:
            if records[-1].damage:
                damaged[key] = f"is shown without its environment: {records[-1].damage}"
    return records


def _comparable(
    loaded: Sequence[Record], question: Question, left_out: dict[str, str]
) -> list[Record]:
    """Return the records that have something to compare and do not repeat another one."""
    records: dict[Any, Record] = {}
    for record in loaded:
        key = _key(record.run, left_out)
        place = (methods.method_key(record, question.vary), record.seed)
        if not record.evaluations and not (record.outcome == "diverged" and record.rows):
            left_out[key] = _without_evaluation(record)
        elif other := records.get(place):
            left_out[key] = (
                f"is the same method with the same seed {record.seed} as {other.run.path}, so they "
                "are not independent"
            )
        else:
            records[place] = record
    return list(records.values())


def _without_evaluation(record: Record) -> str:
    status = record.status
    if status.state == "running":
        return f"has no evaluation yet: it is at step {status.step:,} of {status.total_steps:,}"
    if record.config.eval.every_epochs:
        hint = command_line("train", record.run.path)
        return f"has no evaluation to compare; continue it with `{hint}`"
    return (
        "was not evaluated during training; train a new run with "
        "--eval.every-epochs 1 to compare it (d3gan evaluate only prints its metrics)"
    )


def _groups(
    judged: Sequence[Record], question: Question
) -> list[tuple[Method | None, list[Method]]]:
    """Return the methods by the values of the varied keys: for each combination the baseline, None
    if it has no run, and the other methods."""
    groups: dict[str, list[Method]] = {}
    for method in methods.group(judged, question.vary).values():
        values = methods.varied_values(method.records[0], question.vary)
        groups.setdefault(repr(values), []).append(method)
    found = []
    for group in groups.values():
        base = _baseline(group, question.baseline)
        found.append((base, [method for method in group if method is not base]))
    return found


def _baseline(group: Sequence[Method], name: str) -> Method | None:
    """Return the baseline of a group, whose methods' names end in the varied values.

    Without a name, it is the method with the fewest discriminators, the first of equals.
    """
    if not name:
        return min(group, key=lambda method: method.records[0].config.gan.discriminators)
    for method in group:
        label = method.name.removeprefix(name)
        if method.name == name or (
            method.name == f"{name}{label}"
            and label.startswith("-")
            and all(other.name.endswith(label) for other in group)
        ):
            return method
    return None


def _check_baseline(
    groups: Sequence[tuple[Method | None, list[Method]]], question: Question
) -> None:
    if not any(base for base, _ in groups):
        names = [method.name for _, others in groups for method in others]
        raise UserError(
            f"there is no method '{question.baseline}'{nearest(question.baseline, names)}; "
            f"methods: {', '.join(names)}"
        )


def _metric(records: Sequence[Record], question: Question) -> Metric:
    """Return the metric to judge by: the one asked for, or the one that the first run monitors.

    Raises UserError if no run has the metric asked for.
    """
    held = {name: better for record in records for name, better in record.metrics().items()}
    if question.metric and held and question.metric not in held:
        raise UserError(
            f"no run has the metric '{question.metric}'{right_name(question.metric, list(held))}; "
            f"they have {', '.join(held)}"
        )
    name = question.metric or (records[0].monitored if records else "fd")
    features = records[0].config.eval.features if records else "classifier"
    return Metric(name, {**metric_names(features), **held}.get(name, "lower"))


def _protocol(records: Sequence[Record]) -> Protocol | None:
    """Return the protocol of most evaluations, the first of equals; None without evaluations."""
    protocols: list[Protocol] = [row["protocol"] for r in records for row in r.evaluations]
    if not protocols:
        return None
    distinct: list[Protocol] = []
    counts: Counter[int] = Counter()
    for protocol in protocols:
        same = (i for i, other in enumerate(distinct) if not difference(other, protocol))
        i = next(same, len(distinct))
        distinct += [protocol] if i == len(distinct) else []
        counts[i] += 1
    return distinct[counts.most_common(1)[0][0]]


def _is_usable(record: Record, found: Selection) -> bool:
    """Return whether a run has the metric, by the protocol; note the reason if it does not."""
    reason = ""
    first = [record.initial] if record.initial else []
    for row in first + record.evaluations:
        differs = difference(found.protocol or {}, row["protocol"])
        if differs:
            key, right, other = differs
            reason = f"was evaluated by another protocol: its {key} is {other}, not {right}"
            break
    metrics = record.metrics()
    if not reason and record.evaluations and found.metric.name not in metrics:
        hint = right_name(found.metric.name, list(metrics)) or f"; it has {', '.join(metrics)}"
        reason = f"does not have the metric '{found.metric.name}'{hint}"
    if reason:
        found.left_out[_key(record.run, found.left_out)] = reason
    return not reason
