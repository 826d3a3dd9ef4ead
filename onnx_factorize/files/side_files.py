"""What lies beside a model and goes with it: its tokenizer, and its configurations."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
from typing import Any

from ..errors import InputError
from ..foreign import reading
from .writing import Files

__all__ = ["SideFiles"]

# Names that the libraries which run language models, and prepare what these are fed, look for.
_PATTERNS = (
    "config.json",
    "*_config.json",
    "tokenizer.*",
    "vocab.*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.*",
    "*.jinja",
    "*.tiktoken",
    "*.spm",
    "spiece.model",
    "sentencepiece*.model",
)

# The configuration that names the files of models, each as a `filename`.
_GENAI = "genai_config.json"


@dataclasses.dataclass(frozen=True)
class SideFiles:
    """The files beside a dense model that are to lie beside the written one, too.

    Attributes:
        dense: The dense model's file.
        written: The file of the written one. In the folder of the dense model there is nothing to
            copy.
    """

    dense: pathlib.Path
    written: pathlib.Path

    @functools.cached_property
    def contents(self) -> dict[pathlib.Path, bytes]:
        """What is to be written, by its file, read once; what is there already is left out.

        Raises:
            InputError: A file cannot be read, or another of its name is there.
        """
        found = {}
        for source in self._sources():
            target = self.written.with_name(source.name)
            content = self._content(source)
            if not (target.exists() or target.is_symlink()):
                found[target] = content
            elif not target.is_file() or target.read_bytes() != content:
                raise InputError(
                    f"{target} is there already, and is not what would be copied from {source}: "
                    "remove it, or choose another folder."
                )
        return found

    def copy(self, files: Files) -> None:
        """Writes them, to appear with the model.

        Raises:
            InputError: As for `contents`, or a file came to be meanwhile.
        """
        for target, content in self.contents.items():
            if target.exists() or target.is_symlink():
                raise InputError(f"{target} has come to be meanwhile: remove it.")
            files.path(target).write_bytes(content)

    @property
    def other_models(self) -> list[str]:
        """The other models that the configuration names, which are not copied."""
        config = self.dense.with_name(_GENAI)
        if self.stays or not config.is_file():
            return []
        names = {place["filename"] for place in _named(_parsed(config))}
        return sorted(names - {self.dense.name, self.written.name})

    @property
    def stays(self) -> bool:
        """Tells whether both models are in one folder."""
        return self.dense.parent.resolve() == self.written.parent.resolve()

    def _sources(self) -> list[pathlib.Path]:
        if self.stays:
            return []
        with reading(f"{self.dense.parent} cannot be read"):
            return sorted(
                path
                for path in self.dense.parent.iterdir()
                if not path.name.startswith(".")  # an editor's copies, say
                and any(path.match(pattern) for pattern in _PATTERNS)
                and path.is_file()
            )

    def _content(self, source: pathlib.Path) -> bytes:
        """The bytes of a copy: a configuration names the written model in the dense one's place."""
        with reading(f"{source} cannot be read"):
            content = source.read_bytes()
        if source.name != _GENAI or self.dense.name == self.written.name:
            return content
        config = _parsed(source)
        places = [place for place in _named(config) if place["filename"] == self.dense.name]
        for place in places:
            place["filename"] = self.written.name
        return json.dumps(config, indent=4, ensure_ascii=False).encode() if places else content


def _parsed(config: pathlib.Path) -> Any:
    with reading(f"{config} cannot be read as JSON"):
        return json.loads(config.read_text(encoding="utf-8"))


def _named(config: Any) -> list[dict[str, Any]]:
    """The objects in a configuration that name a model's file."""
    if isinstance(config, list):
        return [place for each in config for place in _named(each)]
    if not isinstance(config, dict):
        return []
    own = [config] if isinstance(config.get("filename"), str) else []
    return own + [place for each in config.values() for place in _named(each)]
