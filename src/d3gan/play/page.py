"""The page of `d3gan play`, made of Gradio's components."""

import os

# Nothing is sent to anybody. Both are read when the packages are imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

from typing import Any, Literal

import gradio as gr

from d3gan.errors import UserError
from d3gan.play.explorer import Explorer
from d3gan.play.figures import ANY_CLASS, captioned, heading, view_of

REACH = 4.0
"""Ends of the sliders of the directions, in standard deviations of the latents."""
LARGEST_SEED = 9999
HALF = 230
"""Least width of a control, pixels: two stand beside each other on a desktop."""

CSS = """
.gradio-container { overflow: visible !important; }
.gradio-container .app {
  max-width: 1152px !important; margin: 0 auto !important; padding: .5rem 1rem 2rem !important;
}
.html-container { padding: 0 !important; }
footer { display: none !important; }
.d3gan-head h1 { margin: 0 0 .2rem; font-size: 1.35rem; overflow-wrap: anywhere; }
.d3gan-head p { margin: 0; color: var(--body-text-color-subdued); font-size: .95rem; }
.d3gan-figure { margin: 0; }
.d3gan-figure > div { display: grid; gap: 4px; }
.d3gan-figure .walk { grid-template-columns: repeat(8, 1fr); }
.d3gan-figure .sheet { grid-template-columns: repeat(12, 1fr); }
.d3gan-figure img { display: block; width: 100%; border-radius: 4px; image-rendering: pixelated; }
.d3gan-figure figcaption {
  margin-top: .35rem; color: var(--body-text-color-subdued); font-size: .875rem;
}
/* The image stays in view while the sliders below it are moved. */
#pictures {
  position: sticky; top: 0; z-index: 100; align-self: flex-start;
  background: var(--body-background-fill);
}
input[type="range"]::-webkit-slider-thumb { background: var(--color-accent) !important; }
input[type="range"]::-moz-range-thumb { background: var(--color-accent) !important; }
.dark input[type="range"] { --neutral-200: var(--neutral-600); }
@media (width < 768px) {
  .d3gan-figure .sheet { grid-template-columns: repeat(6, 1fr); }
  .d3gan-figure .image { width: min(100%, 30vh); margin: 0 auto; }
  #pictures figcaption { text-align: center; margin-top: .15rem; }
  #pictures { gap: .5rem; padding: .5rem 0; }
}
"""


def theme() -> "gr.themes.Base":
    """Return the theme: fonts of the system, so that the page needs no other server."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.indigo,
        neutral_hue=gr.themes.colors.slate,
        font=("system-ui", "sans-serif"),
        font_mono=("ui-monospace", "monospace"),
        radius_size=gr.themes.sizes.radius_md,
    ).set(body_text_color_subdued="*neutral_500", body_text_color_subdued_dark="*neutral_400")


def make_page(explorer: Explorer, title: str) -> "gr.Blocks":
    """Return the page of a run or an export, whose name is `title`."""
    checkpoints, classes = len(explorer.checkpoints), explorer.classes
    count = len(explorer.directions.vectors)

    def show(
        number: float, seed: float, other_seed: float, position: float, label: str, *offsets: float
    ) -> tuple[str, str, str]:
        view = view_of(number, seed, other_seed, position, label, offsets)
        try:
            shown = explorer.show(view)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return captioned(shown, view, explorer)

    with gr.Blocks(title=f"d3gan play: {title}", analytics_enabled=False, fill_width=True) as page:
        gr.HTML(heading(explorer, title))
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, elem_id="pictures"):
                image = gr.HTML(elem_id="image")
                walk = gr.HTML(elem_id="walk")
            with gr.Column(scale=5):
                with gr.Group():
                    number = slider("Checkpoint", 1, max(2, checkpoints), checkpoints, step=1)
                    number.visible = checkpoints > 1
                    with gr.Row():
                        seed = slider("Seed", 0, LARGEST_SEED, step=1)
                        other_seed = slider("To seed", 0, LARGEST_SEED, 1, step=1)
                    with gr.Row():
                        position = slider("Interpolation", 0, 1, step=0.01)
                        label = gr.Dropdown(
                            [ANY_CLASS, *map(str, range(classes))],
                            value=ANY_CLASS,
                            label="Class",
                            visible=classes > 0,
                            elem_id="class",
                            min_width=HALF,
                        )
                with gr.Group(), gr.Row():
                    offsets = [
                        slider(f"Direction {k}", -REACH, REACH, step=0.05)
                        for k in range(1, count + 1)
                    ]
                with gr.Row():
                    another = button("Next seed", "primary")
                    reset = button("Reset directions", "secondary")
        sheet = gr.HTML(elem_id="sheet")

        controls = [number, seed, other_seed, position, label, *offsets]
        pictures = [image, walk, sheet]
        gr.on(
            [page.load, *(control.change for control in controls)],
            show,
            controls,
            pictures,
            show_progress="hidden",
            trigger_mode="always_last",
        )
        another.click(lambda value: (int(value) + 1) % (LARGEST_SEED + 1), seed, seed)
        reset.click(lambda: [0] * count, None, offsets)
    return page


def slider(
    name: str, least: float, greatest: float, value: float = 0, *, step: float
) -> "gr.Slider":
    """Return a slider; two of them stand beside each other where there is space.

    The box of its number may be empty or beyond the ends while a person types: the value is then
    the initial or the nearest one, where Gradio would raise an error.
    """
    key = name.lower().replace(" ", "-")
    made = gr.Slider(least, greatest, value, step=step, label=name, elem_id=key, min_width=HALF)
    # Not a subclass: Gradio writes a .pyi file beside the module of every subclass.
    made.preprocess = lambda typed: min(max(value if typed is None else typed, least), greatest)
    return made


def button(name: str, variant: Literal["primary", "secondary"]) -> "gr.Button":
    """Return a button that stands beside another one on a phone too."""
    key = name.lower().replace(" ", "-")
    return gr.Button(name, variant=variant, size="md", elem_id=key, min_width=1)


def serve(
    explorer: Explorer, title: str, *, port: int = 0, share: bool = False, browser: bool = True
) -> "tuple[gr.Blocks, str]":
    """Start the server on this machine's own address, and return the page and its address.

    `port` 0 is the first free one from 7860 on. With `share` the page is also reachable through
    gradio.live, for everybody who knows its address. Raises UserError if the port is in use.
    """
    page = make_page(explorer, title)
    options: dict[str, Any] = {"theme": theme(), "css": CSS, "footer_links": []}
    try:
        _, address, shared = page.launch(
            server_name="127.0.0.1",
            server_port=port or None,
            share=share,
            inbrowser=browser,
            quiet=True,
            prevent_thread_lock=True,
            enable_monitoring=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            **options,
        )
    except OSError as error:
        raise UserError(f"port = {port}: it is in use; choose another --port") from error
    return page, shared or address
