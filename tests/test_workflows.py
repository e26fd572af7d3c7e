"""The workflows of GitHub run what the README and .ci/run name."""

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def workflow(name: str) -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    content = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def commands(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def test_the_tests_run_on_three_systems_with_the_command_of_the_readme() -> None:
    job = workflow("tests.yml")["jobs"]["tests"]
    matrix = job["strategy"]["matrix"]
    assert {os.partition("-")[0] for os in matrix["os"]} == {"ubuntu", "windows", "macos"}
    oldest = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert oldest is not None
    assert oldest[1] in matrix["python"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^pip install .*pytest$", readme, flags=re.MULTILINE)
    assert commands(job) == [command]


def test_the_checks_are_those_of_ci() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    for command in commands(workflow("tests.yml")["jobs"]["lint"]):
        assert command in script


def test_the_site_is_built_strictly_and_published_from_main() -> None:
    jobs = workflow("docs.yml")["jobs"]
    assert "python -m zensical build --strict" in commands(jobs["build"])
    assert jobs["publish"]["needs"] == "build"
    assert "refs/heads/main" in jobs["publish"]["if"]
    assert jobs["publish"]["permissions"] == {"pages": "write", "id-token": "write"}


def test_what_needs_extras_is_tested_with_them() -> None:
    """Elsewhere these tests are skipped."""
    jobs = workflow("tests.yml")["jobs"]
    extras = {"play": "tests/play", "browser": "tests/play", "trackio": "tests/loggers"}
    extras |= {"wandb": "tests/loggers", "notebook": "tests/test_notebooks.py"}
    for extra, folder in extras.items():
        runs = [" ".join(commands(job)) for job in jobs.values()]
        assert any(re.search(rf"\[[^]]*\b{extra}\b", run) and folder in run for run in runs), extra
        assert (ROOT / folder).exists()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_workflows_are_sound(file: Path) -> None:
    content = workflow(file.name)
    assert content["permissions"] == {"contents": "read"}
    assert content[True]  # YAML 1.1 reads the key `on` as true
    for job in content["jobs"].values():
        assert job["timeout-minutes"] <= 60
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            if "uses" in step:
                assert re.fullmatch(r"[\w./-]+@(v\d+|[0-9a-f]{40})", step["uses"])


def test_the_workflows_are_not_ignored() -> None:
    rules = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert not [rule for rule in rules if rule.startswith((".*", "/.*", ".git"))]
    assert [file.name for file in FILES] == ["docs.yml", "tests.yml"]
