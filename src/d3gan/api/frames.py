"""Tables as frames of pandas, which is an extra."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from d3gan.lazy import require_extra

if TYPE_CHECKING:
    import pandas as pd


def to_frame(rows: Iterable[Mapping[str, Any]]) -> "pd.DataFrame":
    """Return rows as a frame. Raises UserError if pandas is not installed."""
    require_extra("a frame", "pandas", "frames")
    import pandas as pd

    return pd.DataFrame(list(rows))
