"""The notebooks run from top to bottom and show pictures, and so do their committed outputs."""

import base64
import io
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def pictures(notebook: Any) -> list[Image.Image]:
    """Return the pictures of a notebook's outputs that are more than one colour."""
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", ())]
    encoded = [o["data"]["image/png"] for o in outputs if "image/png" in o.get("data", {})]
    found = [Image.open(io.BytesIO(base64.b64decode(png))).convert("L") for png in encoded]
    extremes: list[Any] = [picture.getextrema() for picture in found]
    return [
        picture for picture, (low, high) in zip(found, extremes, strict=True) if high - low > 100
    ]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_committed_outputs_show_pictures(file: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="the extra notebook is not installed")
    notebook = nbformat.read(file, as_version=4)
    assert len(pictures(notebook)) >= 4
    assert file.stat().st_size < 500_000
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", ())]
    assert not [o for o in outputs if o["output_type"] == "error"]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")  # of Jupyter's own code
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebooks_run(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # other tests run beside it
    nbformat = pytest.importorskip("nbformat", reason="the extra notebook is not installed")
    nbclient = pytest.importorskip("nbclient", reason="the extra notebook is not installed")
    pytest.importorskip("ipykernel", reason="the extra notebook is not installed")
    notebook = nbformat.read(file, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, resources=where).execute()
    assert len(pictures(notebook)) >= 4
    assert (tmp_path / "runs" / "quickstart" / "checkpoints").is_dir()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Jupyter's own code
def test_interrupting_the_kernel_saves_a_checkpoint(tmp_path: Path) -> None:
    manager = pytest.importorskip("jupyter_client.manager", reason="the extra is not installed")
    pytest.importorskip("ipykernel", reason="the extra notebook is not installed")
    kernel, client = manager.start_new_kernel(cwd=str(tmp_path))
    try:
        client.execute(
            "import d3gan\n"
            "small = {'model.generator_width': 4, 'model.discriminator_width': 4}\n"
            "d3gan.train('demo-d3gan', small | {'eval.every_epochs': 0})"
        )
        rows = tmp_path / "runs" / "demo-d3gan" / "metrics.jsonl"
        deadline = time.monotonic() + 120
        while not rows.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        kernel.interrupt_kernel()
        reply = client.get_shell_msg(timeout=120)["content"]
        assert reply["ename"] == "Interrupted"
        reply = client.execute(
            "run = d3gan.Run('runs/demo-d3gan')\n"
            "assert run.status.state == 'interrupted'\n"
            "assert run.checkpoints == [run.status.step]",
            reply=True,
            timeout=120,
        )
        assert reply["content"]["status"] == "ok", reply
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)
