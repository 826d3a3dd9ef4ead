"""Text files and a tokenizer as calibration data, end to end."""

import importlib.util
import json

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from onnx_factorize import InputError, compare, factorize
from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.options import FileOptions, Selection, TextOptions
from tests.builders import model
from tests.commands import main_of
from tests.decoders import VOCABULARY, decoder

tokenizers = pytest.importorskip("tokenizers")

WORDS = ["[UNK]", "[CLS]", "[SEP]", *(f"w{i}" for i in range(VOCABULARY - 3))]


@pytest.fixture
def tokenizer(tmp_path):
    """A tokenizer of words, with settings of one that is meant for short texts."""
    made = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]")
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    made.enable_truncation(4)
    made.enable_padding()
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


@pytest.fixture
def around(tokenizer):
    """The same with special tokens before and behind each text."""
    made = tokenizers.Tokenizer.from_file(str(tokenizer))
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    made.save(str(tokenizer))
    return tokenizer


def words(count, start=0):
    return " ".join(f"w{(start + 3 * i + i // 7) % (VOCABULARY - 3)}" for i in range(count))


def windows(path, inputs="int64[b, n] input_ids, int64[b, n] attention_mask", **texts):
    proto = model(f"({inputs}) => (float[?] y) {{ y = Constant <value_float = 1.0> () }}")
    texts["tokenizer"] = texts["tokenizer"] and str(texts["tokenizer"])
    signature, options = Signature.of(ir.from_proto(proto)), FileOptions(texts=TextOptions(**texts))
    data = open_calibration(path, signature, Selection(holdout=0.0), options)
    return data, next(data.batches("calibration")).feeds


def test_texts_are_cut_in_windows(tmp_path, tokenizer):
    path = tmp_path / "a.txt"
    path.write_text(words(25), encoding="utf-8")
    data, feeds = windows(path, tokenizer=tokenizer, length=10)
    assert data.available == 2  # what is left is shorter
    expected = [WORDS.index(word) for word in words(20).split()]
    assert feeds["input_ids"].reshape(-1).tolist() == expected
    assert feeds["input_ids"].dtype == np.int64
    assert feeds["attention_mask"].tolist() == [[1] * 10] * 2


def test_files_of_a_folder_are_joined(tmp_path, tokenizer):
    folder = tmp_path / "texts"
    folder.mkdir()
    for name, start in (("b.txt", 1), ("a.txt", 0)):
        (folder / name).write_text(words(6, start) + "\n", encoding="utf-8-sig")
    data, feeds = windows(folder, tokenizer=tokenizer.parent, length=4)
    assert data.available == 3
    joined = f"{words(6)} {words(6, 1)}".split()
    assert feeds["input_ids"].reshape(-1).tolist() == [WORDS.index(word) for word in joined]


def test_a_short_text_is_one_window(tmp_path, tokenizer):
    (tmp_path / "a.txt").write_text(words(5))
    data, feeds = windows(tmp_path / "a.txt", tokenizer=tokenizer)
    assert (data.available, feeds["input_ids"].shape) == (1, (1, 5))


def test_long_files_are_read_piece_by_piece(tmp_path, tokenizer):
    lines = [words(30, i) for i in range(2000)]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    data, _ = windows(tmp_path / "a.txt", tokenizer=tokenizer)
    assert data.available == 2000 * 30 // 128


def test_special_tokens_are_part_of_a_window(tmp_path, around):
    (tmp_path / "a.txt").write_text(words(20))
    _, feeds = windows(tmp_path / "a.txt", tokenizer=around, length=7)
    ids = feeds["input_ids"]
    assert ids.shape == (4, 7)
    assert set(ids[:, 0]) == {1}
    assert set(ids[:, -1]) == {2}
    assert ids[:, 1:-1].reshape(-1).tolist() == [WORDS.index(word) for word in words(20).split()]


def test_the_length_that_the_model_fixes(tmp_path, tokenizer):
    (tmp_path / "a.txt").write_text(words(40))
    _, feeds = windows(tmp_path / "a.txt", "int32[1, 16] tokens", tokenizer=tokenizer)
    assert feeds["tokens"].shape == (1, 16)
    assert feeds["tokens"].dtype == np.int32


def test_windows_that_the_model_takes_whole(tmp_path, tokenizer):
    (tmp_path / "a.txt").write_text(words(40))
    data, feeds = windows(tmp_path / "a.txt", "int64[time, n] x", tokenizer=tokenizer, length=8)
    assert (data.available, feeds["x"].shape) == (5, (1, 8))


@pytest.mark.parametrize(
    ("text", "inputs", "options", "said"),
    [
        (words(9), "int64[b, n] ids", {"tokenizer": None}, "add --tokenizer FILE"),
        (words(9), "int64[b, n] ids", {"tokenizer": "gone.json"}, "gone.json does not exist"),
        (words(9), "int64[b, n] ids", {"tokenizer": __file__}, "cannot be read as a tokenizer"),
        (words(9), "int64[b, n] a, int64[b, n] b", {}, r"\('a', 'b'\) is known to take token ids"),
        (words(9), "float[b, n] x", {}, "name it input_ids"),
        (" \n", "int64[b, n] ids", {}, "a.txt holds no text"),
        (b"\xff\xfe\x00", "int64[b, n] ids", {}, "a.txt cannot be read as text"),
        (words(9), "int64[b, 16] ids", {"length": 8}, r"has shape \[1, 8\], but the model wants"),
    ],
)
def test_what_cannot_be_read(tmp_path, tokenizer, text, inputs, options, said):
    path = tmp_path / "a.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=said) as raised:
        windows(path, inputs, **{"tokenizer": tokenizer, **options})
    assert "\n" not in str(raised.value)


def test_windows_without_room(tmp_path, around):
    (tmp_path / "a.txt").write_text(words(9))
    with pytest.raises(InputError, match="--length 2 leaves no room"):
        windows(tmp_path / "a.txt", tokenizer=around, length=2)
    with pytest.raises(InputError, match="--length"):
        TextOptions(length=0)


def test_the_library_is_an_extra(tmp_path, tokenizer, monkeypatch):
    (tmp_path / "a.txt").write_text(words(9))
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    with pytest.raises(InputError, match=r"pip install 'onnx-factorize\[text\]'"):
        windows(tmp_path / "a.txt", tokenizer=tokenizer)


def test_a_decoder_from_texts(tmp_path, tokenizer, monkeypatch, capsys):
    path, texts = tmp_path / "d.onnx", tmp_path / "a.txt"
    onnx.save(decoder(), path)
    texts.write_text("\n".join(words(24, i) for i in range(20)))
    report, given = tmp_path / "r.json", ["--tokenizer", str(tokenizer), "--length", "12"]
    arguments = [str(path), "--calib", str(texts), *given, "--budget", "targets=0.7"]
    arguments += ["--threads", "1", "--effort", "low", "--report", str(report)]
    code, out, err = main_of(arguments, monkeypatch, capsys)
    assert code == 0, err
    assert "'attention_mask': ones" in out
    found = json.loads(report.read_text())
    assert found["samples"] == {"calibration": 32, "holdout": 8}
    assert found["command"]["texts"] == {"tokenizer": str(tokenizer), "length": 12}
    small = tmp_path / "d.factorized.onnx"
    code, out, _ = main_of(
        ["compare", str(path), str(small), "--calib", str(texts), *given, "--json"],
        monkeypatch, capsys,
    )  # fmt: skip
    assert code == 0
    assert json.loads(out)["agreement"]["samples"] == 40
    same = compare(path, small, texts, tokenizer=tokenizer, length=12, threads=1)
    assert same.agreement.samples == 40


def test_a_report_does_not_replace_the_tokenizer(tmp_path, tokenizer, monkeypatch, capsys):
    path, texts = tmp_path / "d.onnx", tmp_path / "a.txt"
    onnx.save(decoder(), path)
    texts.write_text(words(40))
    arguments = [str(path), "--calib", str(texts), "--tokenizer", str(tokenizer)]
    code, _, err = main_of([*arguments, "--report", str(tokenizer)], monkeypatch, capsys)
    assert code == 1
    assert "is the tokenizer; choose another output" in err
    code, _, err = main_of(arguments[:3], monkeypatch, capsys)
    assert code == 1
    assert "add --tokenizer FILE" in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("flag", ["--tokenizer", "--length"])
@pytest.mark.parametrize("data", ["ids.npz", "feeds:make", "photos"])
def test_options_of_texts_without_texts(tmp_path, tokenizer, monkeypatch, capsys, flag, data):
    monkeypatch.chdir(tmp_path)
    onnx.save(decoder(), "m.onnx")
    np.savez("ids.npz", input_ids=np.zeros((4, 5), np.int64))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"")
    given = [flag, "tokenizer.json" if flag == "--tokenizer" else "16"]
    code, _, err = main_of(["m.onnx", "--calib", data, *given], monkeypatch, capsys)
    assert code == 1
    assert f"{flag} is for text files" in err
    assert err.strip().endswith("leave it out.")
    with pytest.raises(InputError, match=rf"^{flag[2:]} is for text files, and ids.npz holds"):
        factorize("m.onnx", "ids.npz", **{flag[2:]: 16 if flag == "--length" else "x"})
