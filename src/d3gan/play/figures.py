"""The texts and pictures of the page of `d3gan play`, as HTML."""

import base64
import html
import io
from collections.abc import Sequence

from PIL import Image

from d3gan.play.explorer import Explorer, Shown, View

ANY_CLASS = "any"
"""The choice of a class that draws classes at random."""


def view_of(
    number: float,
    seed: float,
    other_seed: float,
    position: float,
    label: str,
    offsets: tuple[float, ...],
) -> View:
    """Return the view that the values of the controls mean; `number` counts checkpoints from 1."""
    return View(
        checkpoint=int(number) - 1,
        seed=int(seed),
        other_seed=int(other_seed),
        position=float(position),
        label=None if label == ANY_CLASS else int(label),
        offsets=tuple(map(float, offsets)),
    )


def captioned(shown: Shown, view: View, explorer: Explorer) -> tuple[str, str, str]:
    """Return the HTML of the three pictures with their captions."""
    time = explorer.checkpoints[view.checkpoint].text
    label = "" if view.label is None else f", class {view.label}"
    place = f"Seed {view.seed}"
    if view.position:
        place = f"{view.position:.0%} from seed {view.seed} to seed {view.other_seed}"
    return (
        figure([shown.image], f"{place}{label}, {time}", "image"),
        figure(shown.walk, f"From seed {view.seed} to seed {view.other_seed}", "walk"),
        figure(shown.sheet, f"More images of seed {view.seed}{label}", "sheet"),
    )


def figure(pictures: Sequence[Image.Image], caption: str, layout: str) -> str:
    """Return pictures and their caption as HTML; `layout` is the class of the page's style."""
    text = html.escape(caption)
    images = "".join(f'<img alt="" src="{data_url(picture)}">' for picture in pictures)
    return (
        f'<figure class="d3gan-figure"><div class="{layout}" role="img" aria-label="{text}">'
        f"{images}</div><figcaption>{text}</figcaption></figure>"
    )


def data_url(picture: Image.Image) -> str:
    """Return a picture as the URL that holds it as a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def heading(explorer: Explorer, title: str) -> str:
    """Return the head of the page as HTML."""
    newest = explorer.checkpoints[-1]
    side, channels = explorer.image_shape
    facts = [
        f"{side} &times; {side} pixels, {'colour' if channels == 3 else 'grey'}",
        f"{explorer.classes} classes" if explorer.classes else "",
        newest.text if newest.step is None else f"newest: {newest.text}",
        f"directions by {explorer.directions.method}",
    ]
    return (
        f'<div class="d3gan-head"><h1>{html.escape(title)}</h1>'
        f"<p>{' &middot; '.join(filter(None, facts))}</p></div>"
    )
