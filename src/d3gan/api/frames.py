"""Tables as frames of pandas, which is an extra."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from d3gan.errors import UserError
from d3gan.extras import require

if TYPE_CHECKING:
    import pandas as pd


def to_frame(rows: Iterable[Mapping[str, Any]]) -> "pd.DataFrame":
    """Return rows as a frame. Raises UserError if pandas is not installed."""
    try:
        require("pandas", "2.2", "frames")
    except UserError as error:
        raise UserError(f"to_frame {error}") from error
    import pandas as pd

    return pd.DataFrame(list(rows))
