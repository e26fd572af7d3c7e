"""What limits the meaning of a comparison's numbers: one text for each circumstance."""

from collections.abc import Iterator, Sequence

from d3gan.report.wording import listed, plural
from d3gan.study.measures import Group
from d3gan.study.question import Question
from d3gan.study.records import Record


def limitations(groups: Sequence[Group], question: Question) -> list[str]:
    """Return the warnings of a comparison."""
    records = [r for group in groups for method in group.methods for r in method.records]
    found = [*_of_runs(records), *_of_training(records)]
    for group in groups:
        found += _of_seeds(group)
    found += _of_hardware([*records, *(r for group in groups for r in group.pilot)])
    compared = [group for group in groups if len(group.methods) > 1]
    for group in compared:
        if not any(record.initial for record in (*group.baseline.records, *group.pilot)):
            found.append(
                f"whether {group.baseline.name} learned anything is unknown, because its runs were "
                "not evaluated at step 0"
            )
    if any(not group.pilot for group in compared):
        found.append(
            "the targets, the qualities to reach, were computed from the same runs that are judged "
            "by them, so chance in these runs influences both and the result is less certain than "
            "its interval says; train pilot runs, which fix the targets beforehand (--pilot-seeds "
            "100 101 102)"
        )
    if len(groups) > 1 and not compared:
        found.append(
            f"methods are compared within each value of {' and '.join(question.vary)}, never "
            "across; to compare the values, write each as a method of its own"
        )
    names = {method.name for group in groups for method in group.methods}
    if question.primary and groups and question.primary.method not in names:
        found.append(
            f"the primary comparison is missing: no run of {question.primary.method} can be judged"
        )
    return found


def _of_runs(records: Sequence[Record]) -> Iterator[str]:
    circumstances = {
        "lack the last rows of metrics.jsonl, which are lost": [
            record.name for record in records if record.lacks_rows
        ],
        "not finished, so that results may still change": [
            record.name for record in records if record.outcome == "unfinished"
        ],
        "diverged and are missing from the means after that": [
            record.name for record in records if record.outcome == "diverged"
        ],
        "come from an older version, which did not count operations, so that nothing is compared "
        "at equal compute": [record.name for record in records if not record.knows("flops")],
    }
    for what, names in circumstances.items():
        if names:
            yield f"{len(names)} of {plural(len(records), 'run')} {what}: {', '.join(names)}"


def _of_training(records: Sequence[Record]) -> Iterator[str]:
    """Yield what runs warned of while they were trained, once for each kind of warning."""
    warned: dict[str, list[tuple[str, str]]] = {}
    for record in records:
        for row in record.rows:
            if row["kind"] == "warning":
                warned.setdefault(row["name"], []).append((record.name, row["message"]))
    for (name, message), *others in warned.values():
        also = f" (a similar warning in {plural(len(others), 'other run')})" if others else ""
        yield f"in {name}, {message}{also}"


def _of_seeds(group: Group) -> Iterator[str]:
    seeds = {record.seed for record in group.baseline.records}
    for method in group.methods[1:]:
        alone = sorted(seeds ^ {record.seed for record in method.records})
        if alone:
            seed = f"seed{'s' * (len(alone) > 1)} {listed([str(number) for number in alone])}"
            yield (
                f"only one of {method.name} and {group.baseline.name} was trained with {seed}: "
                "these runs cannot be compared in pairs"
            )


def _of_hardware(records: Sequence[Record]) -> Iterator[str]:
    places = {place for record in records if (place := record.hardware())}
    if len(places) > 1:
        yield (
            "the runs used different hardware, so that their training times are not comparable: "
            + "; ".join(sorted(places))
        )
