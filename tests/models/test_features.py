import io

import numpy as np
import pytest

from models.data import files, speech, tones
from models.metrics import area_under_roc
from models.recipes.crepe import cents
from models.recipes.magika import Layout, features, features_of_file
from models.storage import parts, save_part

SMALL = Layout(first=4, last=4, block=8, padding=256)


def test_magika_features_of_a_short_file():
    assert features(b" \nab\n", b" \nab\n", SMALL).tolist() == [97, 98, 10, 256, 32, 10, 97, 98]


def test_magika_features_pad_the_end_at_its_front():
    assert features(b"xy", b"xy", SMALL).tolist() == [120, 121, 256, 256, 256, 256, 120, 121]


def test_magika_features_of_a_long_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"  abcdef" + b"." * 100 + b"uvwxyz  ")
    tokens = features_of_file(path, SMALL)
    assert bytes(tokens.tolist()) == b"abcdwxyz"


def test_magika_features_match_the_package():
    magika = pytest.importorskip("magika.magika")
    seekable = pytest.importorskip("magika.types.seekable", reason="of another version")
    content = b"\n\n  " + bytes(range(32, 127)) * 60 + b"  \n"
    theirs = magika.Magika._extract_features_from_seekable(
        seekable.Seekable(io.BytesIO(content)), 1024, 0, 1024, 256, 4096, False
    )
    ours = features(content[:4096], content[-4096:], Layout())
    assert ours.tolist() == theirs.beg + theirs.end


def test_files_of_known_type(tmp_path):
    for i in range(5):
        (tmp_path / f"{i}.py").write_text("x = 1\n" * 20)
    (tmp_path / "small.py").write_text("")
    (tmp_path / "unknown.xyz").write_text("x" * 100)
    (tmp_path / "link.py").symlink_to(tmp_path / "0.py")
    found = files.find([tmp_path], most=3, seed=0)
    assert [kind for _, kind in found] == ["python"] * 3
    assert len({path for path, _ in found}) == 3
    assert {path.name for path, _ in found} <= {f"{i}.py" for i in range(5)}


def test_tones_have_their_pitch():
    frames, pitches = tones.make(64, seed=3)
    assert frames.shape == (64, 1024)
    assert frames.dtype == np.float32
    assert np.abs(frames.mean(axis=1)).max() < 1e-3
    assert frames.std(axis=1) == pytest.approx(1, abs=1e-3)
    # At the period's lag, a tone is like itself.
    similar = [
        np.corrcoef(frame[: -round(tones.RATE / pitch)], frame[round(tones.RATE / pitch) :])[0, 1]
        for frame, pitch in zip(frames, pitches, strict=True)
    ]
    assert np.median(similar) > 0.8


def test_cents_of_a_peak():
    activations = np.zeros((2, 360), np.float32)
    activations[0, 100] = 1
    activations[1, [0, 1]] = 0.5
    assert cents(activations) == pytest.approx([1997.379 + 2000, 1997.379 + 10], abs=1e-2)


def burst(rng):
    quiet, loud = np.zeros(512 * 6), rng.standard_normal(512 * 10) * 0.3
    return np.concatenate([quiet, loud, quiet]).astype(np.float32)


def test_speech_frames_are_the_loud_ones():
    frames = speech.speech_frames(burst(np.random.default_rng(0)), 512)
    assert frames.tolist() == [False] * 6 + [True] * 10 + [False] * 6


def test_speech_frames_close_short_gaps():
    samples = np.ones(512 * 8, np.float32)
    samples[512 * 3 : 512 * 6] = 0
    assert speech.speech_frames(samples, 512).all()
    samples[512 * 2 : 512 * 6] = 0
    assert speech.speech_frames(samples, 512).tolist() == [True] * 2 + [False] * 4 + [True] * 2


def test_composed_stream_is_louder_where_speech_is():
    rng = np.random.default_rng(1)
    stream, truth = speech.compose([burst(rng)], 20, rng)
    assert stream.shape == (len(truth) * 512,)
    assert 0.05 < truth.mean() < 0.6
    energy = np.square(stream.reshape(-1, 512)).mean(axis=1)
    assert area_under_roc(energy, truth) > 0.99


def test_halving_keeps_low_and_drops_high_tones():
    time = np.arange(16000) / 16000
    low, high = (np.sin(2 * np.pi * f * time) for f in (440, 6000))
    halved = speech.halved(low + high)
    assert halved == pytest.approx(low[::2], abs=1e-5)


def test_parts_limit_rows(tmp_path):
    for start in (0, 3):
        save_part(tmp_path, x=np.arange(start, start + 3))
    rows = [part["x"].tolist() for part in parts(tmp_path, limit=4)]
    assert rows == [[0, 1, 2], [3]]
    assert [part["x"].tolist() for part in parts(tmp_path)] == [[0, 1, 2], [3, 4, 5]]
    assert len(list(parts(tmp_path, limit=3))) == 1
