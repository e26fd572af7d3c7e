"""HTML by calls: what is not HTML already is escaped, so nothing can be forgotten."""

import html
from typing import Final

VOID: Final = frozenset({"br", "img", "meta"})


class Html(str):
    """Text that is HTML already. Any other `str` is plain text, and escaped where it is shown."""

    __slots__ = ()


def shown(value: object) -> Html:
    """A value as HTML: Html as it is, everything else as escaped text."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def joined(*parts: object) -> Html:
    """Parts one after the other; None is left out."""
    return Html("".join(shown(part) for part in parts if part is not None))


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """An element. `class_` and `aria_label` are the attributes class and aria-label.

    An attribute that is None or False is left out, one that is True has no value.
    """
    words = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        words.append(key if value is True else f'{key}="{shown(str(value))}"')
    start = f"<{' '.join(words)}>"
    return Html(start if name in VOID else f"{start}{joined(*children)}</{name}>")
