"""Markdown extension that makes links between files of the repository work on the site.

The pages of `docs` are read both on the code host and on the site. On the site the README is the
home page, and other files of the repository have no page. Links to these lead to the repository at
$D3GAN_REPOSITORY (such as https://github.com/OWNER/d3gan/blob/main), and are plain text without it.
"""

import os
import posixpath
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

from markdown import Extension, Markdown
from markdown.treeprocessors import Treeprocessor
from zensical.extensions.context import ContextPreprocessor

README, HOME = "README.md", "docs/index.md"


class RepositoryLinks(Treeprocessor):
    """Rewrites the addresses of links and images of one page."""

    def run(self, root: Element) -> None:
        context = ContextPreprocessor.from_markdown(self.md)
        page = f"docs/{context.page.path}" if context else HOME
        for element in root.iter():
            name = {"a": "href", "img": "src"}.get(element.tag, "")
            address = element.get(name) if name else None
            if address is None:
                continue
            new = site_address(address, page, os.environ.get("D3GAN_REPOSITORY", ""))
            if new:
                element.set(name, new)
            else:
                del element.attrib[name]
                element.tag = "span"


def site_address(address: str, page: str, repository: str) -> str:
    """Return the address for a link on a page, "" if it leads nowhere on the site.

    `page` is the page's file in the repository. Its text is that of the README if it is the home
    page, so relative addresses there are relative to the top of the repository.
    """
    parts = urlsplit(address)
    if parts.scheme or parts.netloc or not parts.path:
        return address
    written_in = README if page == HOME else page
    file = posixpath.normpath(posixpath.join(posixpath.dirname(written_in), parts.path))
    file = {README: HOME, "docs/decisions": "docs/decisions/index.md"}.get(file, file)
    if file.startswith("docs/"):
        target = posixpath.relpath(file, posixpath.dirname(page))
    elif repository:
        target = f"{repository.rstrip('/')}/{file}"
    else:
        return ""
    return f"{target}#{parts.fragment}" if parts.fragment else target


class RepositoryLinksExtension(Extension):
    """Registers `RepositoryLinks`."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        md.treeprocessors.register(RepositoryLinks(md), "repository_links", 1)


def makeExtension(**options: object) -> RepositoryLinksExtension:  # noqa: N802
    """Return the extension, as Python-Markdown asks for it."""
    return RepositoryLinksExtension(**options)
