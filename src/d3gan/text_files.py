"""Reading text files, TOML and JSON; whatever is wrong with them is one line."""

import json
import tomllib
from pathlib import Path
from typing import Any

from d3gan.errors import UserError


def read_text(path: Path, kind: str = "file") -> str:
    """Return the text of a file. Raises UserError."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"there is no {kind} {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error


def read_toml(text: str, origin: str) -> dict[str, Any]:
    """Return the values of a TOML text. Raises UserError, whose message `origin` precedes."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{origin}: not valid TOML: {reason(error)}") from error


def parse_json(text: str) -> Any:
    """Return the value of a JSON text. Raises ValueError, with a message of one line."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(reason(error)) from error


def reason(error: BaseException) -> str:
    """Return in a few words why a text cannot be parsed."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if "digits" in str(error) and "limit" in str(error):
        return "an integer in it has too many digits"
    return str(error)


def unreadable(path: Path, error: Exception) -> UserError:
    """Return the error for a file that exists and that the system or its encoding refuses."""
    why = (error.strerror or error) if isinstance(error, OSError) else f"not UTF-8: {error}"
    return UserError(f"cannot read {path}: {why}")
