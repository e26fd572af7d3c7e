"""The texts and pictures of the page of `d3gan play`, as HTML."""

import base64
import html
import io

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
    """Return the view that the values of the controls mean."""
    return View(
        checkpoint=int(number),
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
    return (
        figure(shown.image, f"Seed {view.seed}{label}, {time}"),
        figure(shown.walk, f"From seed {view.seed} to seed {view.other_seed}"),
        figure(shown.sheet, f"Images of seed {view.seed}, all moved along the directions"),
    )


def figure(picture: Image.Image, caption: str) -> str:
    """Return a picture and its caption as HTML. Small pictures keep their pixels when enlarged."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    text = html.escape(caption)
    return (
        f'<figure class="d3gan-figure"><img class="pixels" alt="{text}" '
        f'src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'
    )


def heading(explorer: Explorer, title: str) -> str:
    """Return the head of the page as HTML."""
    newest = explorer.checkpoints[-1].text
    side, channels = explorer.image_shape
    facts = [
        f"{side} &times; {side} pixels, {'colour' if channels == 3 else 'grey'}",
        f"{explorer.classes} classes" if explorer.classes else "",
        f"newest: {newest}",
        f"directions by {explorer.directions.method}",
    ]
    return (
        f'<div class="d3gan-head"><h1>{html.escape(title)}</h1>'
        f"<p>{' &middot; '.join(filter(None, facts))}</p></div>"
    )
