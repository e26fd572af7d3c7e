"""How to cite d3gan and its predecessor, in several formats.

The file CITATION.cff is what `as_cff` returns; a test compares them.
"""

from dataclasses import dataclass
from importlib.metadata import version


@dataclass(frozen=True)
class Author:
    """A person, or a group without given names."""

    name: str
    given: str = ""


@dataclass(frozen=True)
class Software:
    """A program to cite."""

    key: str
    """Name of its entry in BibTeX."""
    title: str
    authors: tuple[Author, ...]
    version: str = ""
    note: str = ""


def d3gan() -> Software:
    """Return this program, with its installed version."""
    title = "d3gan: GANs with one, two or N discriminators"
    return Software("d3gan", title, (Author("The d3gan developers"),), version("d3gan"))


PREDECESSOR = Software(
    "dual-discriminator-gans",
    "Distributed Training of Dual Discriminator GANs",
    (Author("Shukla", "S."), Author("Pitty", "I.")),
    note="The predecessor of d3gan: DCGAN against dual discriminators under PyTorch DDP.",
)


def as_bibtex() -> str:
    """Return two entries of BibTeX."""
    return "\n\n".join(_bibtex(work) for work in (d3gan(), PREDECESSOR))


def _bibtex(work: Software) -> str:
    authors = [f"{a.name}, {a.given}" if a.given else f"{{{a.name}}}" for a in work.authors]
    fields = {
        "author": " and ".join(authors),
        "title": f"{{{work.title}}}",  # a second pair of braces keeps capital letters
        "version": work.version,
        "note": work.note,
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@software{{{work.key},", *lines, "}"])


def as_apa() -> str:
    """Return two references in the style of the APA, without a year."""
    return "\n".join(_apa(work) for work in (d3gan(), PREDECESSOR))


def _apa(work: Software) -> str:
    authors = [f"{a.name}, {a.given}" if a.given else f"{a.name}." for a in work.authors]
    edition = f" (Version {work.version})" if work.version else ""
    return f"{', & '.join(authors)} (n.d.). {work.title}{edition} [Computer software]."


def as_cff() -> str:
    """Return a file in the Citation File Format, which GitHub and Zenodo read."""
    work, before = d3gan(), PREDECESSOR
    lines = [
        "cff-version: 1.2.0",
        'message: "If you use d3gan, please cite it, and its predecessor."',
        f'title: "{work.title}"',
        "type: software",
        "authors:",
        *_cff_authors(work),
        f"version: {work.version}",
        "license: MIT",
        "references:",
        "  - type: software",
        f'    title: "{before.title}"',
        "    authors:",
        *(f"    {line}" for line in _cff_authors(before)),
        f'    notes: "{before.note}"',
    ]
    return "\n".join(lines)


def _cff_authors(work: Software) -> list[str]:
    lines = []
    for author in work.authors:
        key = "family-names" if author.given else "name"
        lines.append(f'  - {key}: "{author.name}"')
        if author.given:
            lines.append(f'    given-names: "{author.given}"')
    return lines
