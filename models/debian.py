"""Data that a Debian package installs."""

from pathlib import Path

from models.errors import RecipeError


def installed(path: str, package: str) -> Path:
    """Return the path of a file or folder of a Debian package.

    Args:
        path: where the package installs it.
        package: the package's name.

    Raises:
        RecipeError: it is not there; the message says how to install it.
    """
    found = Path(path)
    if not found.exists():
        raise RecipeError(
            f"{path} is missing: run `apt-get install --no-install-recommends {package}`."
        )
    return found
