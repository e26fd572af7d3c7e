"""Loggers write to temporary folders and to no network."""

from collections.abc import Iterator

import pytest

from d3gan.errors import UserError
from d3gan.loggers import LOGGERS


@pytest.fixture(scope="session", autouse=True)
def _offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep all services offline. Trackio reads its folder when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_SILENT", "true")
        patch.delenv("WANDB_DIR", raising=False)
        patch.setenv("TRACKIO_DIR", str(tmp_path_factory.mktemp("trackio")))
        yield


@pytest.fixture(params=list(LOGGERS))
def logger(request: pytest.FixtureRequest) -> Iterator[str]:
    """Name of each registered logger in turn; skipped where its package is missing."""
    try:
        LOGGERS.build(request.param)
    except UserError as error:
        pytest.skip(str(error))
    yield request.param
    if request.param == "wandb":
        import wandb

        wandb.teardown()  # its service process
