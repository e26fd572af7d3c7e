"""The results of a study: what is kept of its runs once they are over, small enough to commit.

A study whose file names `results` copies the rows of every run that is over into that folder, and
does not train a run again that is over there. So an interrupted study continues on another machine,
and `d3gan report` of that folder says what it says of the runs themselves.
"""

import dataclasses
import json
import shutil
from collections.abc import Iterable

from d3gan.config import to_toml
from d3gan.config_files import load_file
from d3gan.files import write_bytes, write_text, writing
from d3gan.run_status import Status
from d3gan.runs import RunFolder
from d3gan.study.plan import PlannedRun, Study
from d3gan.study.question import FILE

_FILES = ("environment.json", "metrics.jsonl", "status.json", "config.toml")
"""Files of a run that are kept, in the order in which they are copied: config.toml makes a folder a
run. Checkpoints, samples and TensorBoard events are not kept."""


def restore(study: Study) -> list[str]:
    """Copy runs from the results that the study's folder lacks; return their names."""
    restored = []
    for run in study.runs if study.results else ():
        kept = _kept(study, run)
        status = kept.status()
        if run.folder.exists() or status is None or not status.over:
            continue
        with writing(run.folder.path):
            run.folder.path.mkdir(parents=True, exist_ok=True)
            for name in _FILES:
                if (kept.path / name).is_file():
                    shutil.copyfile(kept.path / name, run.folder.path / name)
        restored.append(run.name)
    return restored


def keep(study: Study, runs: Iterable[PlannedRun]) -> None:
    """Copy what is kept of those runs that are over, and study.json, into the results.

    What names this machine is left out: command lines, process ids, its name and folders.
    """
    if study.results is None:
        return
    with writing(study.results):
        study.results.mkdir(parents=True, exist_ok=True)
        write_bytes(study.results / FILE, (study.out_dir / FILE).read_bytes())
    for run in runs:
        status = run.folder.status()
        if status is not None and status.over:
            _keep(run.folder, status, _kept(study, run))


def _kept(study: Study, run: PlannedRun) -> RunFolder:
    assert study.results is not None
    return RunFolder(study.results / run.name)


def _keep(run: RunFolder, status: Status, kept: RunFolder) -> None:
    config = load_file(run.config_file)
    sessions = [
        {key: value for key, value in session.items() if key != "command"}
        for session in run.sessions()
    ]
    with writing(kept.path):
        kept.path.mkdir(parents=True, exist_ok=True)
        write_text(kept.environment_file, json.dumps(sessions, indent=2) + "\n")
        rows = run.metrics_file.read_bytes() if run.metrics_file.exists() else b""
        write_bytes(kept.metrics_file, rows)
        kept.write_status(dataclasses.replace(status, pid=0, host=""))
        write_text(kept.config_file, to_toml(dataclasses.replace(config, out_dir="runs")))
