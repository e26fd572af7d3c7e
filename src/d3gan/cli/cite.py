"""d3gan cite."""

from typing import Literal

from d3gan import citation
from d3gan.cli.parsing import parse


def cite(arguments: list[str]) -> int:
    """Print how to cite d3gan."""
    parse(_cite, arguments, "cite")
    return 0


def _cite(format: Literal["bibtex", "apa", "cff"] = "bibtex") -> None:
    """Print how to cite d3gan and its predecessor.

    Args:
        format: Entries of BibTeX, references in the style of the APA, or the file CITATION.cff.
    """
    formats = {"bibtex": citation.as_bibtex, "apa": citation.as_apa, "cff": citation.as_cff}
    print(formats[format]())
