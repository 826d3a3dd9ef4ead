"""Files of known type on this machine, found by their extensions."""

import os
from collections import defaultdict
from pathlib import Path

import numpy as np

# Extensions that name one type only; the type is as magika calls it.
TYPE_OF = {
    ".bat": "batch",
    ".bmp": "bmp",
    ".bz2": "bzip",
    ".c": "c",
    ".class": "javabytecode",
    ".cmake": "cmake",
    ".cpp": "cpp",
    ".cs": "cs",
    ".css": "css",
    ".csv": "csv",
    ".deb": "deb",
    ".diff": "diff",
    ".f90": "fortran",
    ".gif": "gif",
    ".go": "go",
    ".gz": "gzip",
    ".hpp": "cpp",
    ".html": "html",
    ".ico": "ico",
    ".ini": "ini",
    ".ipynb": "ipynb",
    ".jar": "jar",
    ".java": "java",
    ".jpg": "jpeg",
    ".js": "javascript",
    ".json": "json",
    ".lua": "lua",
    ".m4": "m4",
    ".md": "markdown",
    ".npy": "npy",
    ".npz": "npz",
    ".onnx": "onnx",
    ".otf": "otf",
    ".patch": "diff",
    ".pdf": "pdf",
    ".pl": "perl",
    ".pm": "perl",
    ".png": "png",
    ".po": "po",
    ".proto": "proto",
    ".ps1": "powershell",
    ".py": "python",
    ".pyc": "pythonbytecode",
    ".rb": "ruby",
    ".rs": "rust",
    ".rst": "rst",
    ".scss": "scss",
    ".sh": "shell",
    ".so": "elf",
    ".sql": "sql",
    ".svg": "svg",
    ".tar": "tar",
    ".tcl": "tcl",
    ".tiff": "tiff",
    ".toml": "toml",
    ".ts": "typescript",
    ".ttf": "ttf",
    ".wasm": "wasm",
    ".wav": "wav",
    ".webp": "webp",
    ".whl": "zip",
    ".woff2": "woff2",
    ".xml": "xml",
    ".xz": "xz",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".zip": "zip",
}


def find(roots: list[Path], most: int, seed: int) -> list[tuple[Path, str]]:
    """Return files with their types, in random order, at most `most` of a type.

    Links, unreadable files and files below 64 bytes are left out.
    """
    by_type = defaultdict(list)
    for root in roots:
        for folder, _, names in os.walk(root):
            for name in names:
                kind = TYPE_OF.get(os.path.splitext(name)[1].lower())  # noqa: PTH122 (speed)
                if kind:
                    by_type[kind].append(f"{folder}/{name}")
    rng = np.random.default_rng(seed)
    found = []
    for kind, paths in sorted(by_type.items()):
        paths.sort()
        usable = (Path(paths[i]) for i in rng.permutation(len(paths)))
        chosen = [path for path, _ in zip(filter(_usable, usable), range(most), strict=False)]
        found += [(path, kind) for path in chosen]
    return [found[i] for i in rng.permutation(len(found))]


def _usable(path: Path) -> bool:
    return (
        not path.is_symlink()
        and path.is_file()
        and os.access(path, os.R_OK)
        and path.stat().st_size >= 64
    )
