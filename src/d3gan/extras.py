"""Optional packages, which the extras of pyproject.toml install."""

from importlib.metadata import PackageNotFoundError, version

from d3gan.errors import UserError


def require(package: str, least: str, extra: str) -> None:
    """Raise UserError, naming the extra, unless the package is installed in version `least` or up.

    The package is not imported.
    """
    try:
        found = version(package)
    except PackageNotFoundError:
        found = ""
    if found and _numbers(found) >= _numbers(least):
        return
    state = f"version {found} is installed" if found else "it is not installed"
    raise UserError(f"needs {package} {least} or newer, and {state}: pip install 'd3gan[{extra}]'")


def _numbers(text: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: (0, 31) for ``0.31.0rc1``."""
    return tuple(int(part) for part in text.split(".")[:2] if part.isdecimal())


def require_onnx() -> None:
    """Raise UserError if the package is missing with which torch writes ONNX."""
    try:
        require("onnxscript", "0.5", "onnx")
    except UserError as error:
        raise UserError(f"ONNX export {error}") from error
