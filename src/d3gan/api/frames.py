"""Tables as frames of pandas, which is an extra."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from d3gan.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


def to_frame(rows: Iterable[Mapping[str, Any]]) -> "pd.DataFrame":
    """Return rows as a frame. Raises UserError if pandas is not installed."""
    try:
        import pandas as pd
    except ImportError:
        raise UserError('frames need pandas: pip install "d3gan[frames]"') from None
    return pd.DataFrame(list(rows))
