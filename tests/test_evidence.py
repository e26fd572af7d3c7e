"""docs/evidence.md quotes the judge: judging the committed runs again gives the same words."""

import re
from pathlib import Path

import pytest

from d3gan.study.compare import compare
from d3gan.study.saved_study import load

ROOT = Path(__file__).parents[1]
RESULTS = sorted(path.parent for path in (ROOT / "studies" / "results").glob("*/study.json"))


def quoted(name: str) -> list[str]:
    """Return the sentences that the page quotes below the command that reports on a study."""
    page = (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8")
    part = page.partition(f"`d3gan report studies/results/{name}`")[2]
    block = re.search(r"\n\n((?:>[^\n]*\n)+)", part)
    assert block is not None
    text = re.sub(r"\n>\s+(?!-)", " ", block[1])
    return [line.removeprefix("> - ") for line in text.strip().splitlines()]


@pytest.mark.parametrize("folder", RESULTS, ids=lambda folder: folder.name)
def test_the_page_says_what_the_judge_says(folder: Path) -> None:
    saved = load(folder)
    assert saved is not None
    found = compare(saved.folders(folder), saved.question, saved.warnings(folder))
    assert quoted(folder.name) == found["judgement"]["sentences"]
