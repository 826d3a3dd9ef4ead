"""Image files as calibration data."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import model
from PIL import Image

from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.errors import InputError
from onnx_factorize.options import FileOptions, ImageOptions, Selection

PLAIN = ImageOptions(mean=(0, 0, 0), std=(1, 1, 1))
RAMP = np.tile(np.linspace(0, 1, 8), (8, 1))


def _signature(inputs="float[batch, 3] x"):
    return Signature.of(ir.from_proto(model(f"({inputs}) => (float[?, ?] y) {{ y = Neg (x) }}")))


def _read(folder, inputs, images=PLAIN):
    """The first image of a folder, as the model is fed it."""
    data = open_calibration(folder, _signature(inputs), Selection(holdout=0.0), FileOptions(images))
    return next(data.batches("calibration")).feeds["x"][0]


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_images(layout, tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (6, 4, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels[:, :, 0]).save(tmp_path / "b.png")  # grey
    dims = "3, 6, 4" if layout == "NCHW" else "6, 4, 3"
    data = open_calibration(
        tmp_path,
        _signature(f"float[b, {dims}] x"),
        Selection(holdout=0.0),
        FileOptions(ImageOptions(mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 1.0))),
    )
    found = np.concatenate([b.feeds["x"] for b in data.batches("calibration")])
    assert data.available == 2
    wanted = (pixels / 255 - [0.1, 0.2, 0.3]) / [0.5, 0.25, 1.0]
    wanted = wanted.transpose(2, 0, 1) if layout == "NCHW" else wanted
    np.testing.assert_allclose(found[0], wanted, atol=1e-5)


def test_image_size_comes_from_the_option_where_the_model_leaves_it_open(tmp_path):
    Image.new("RGB", (40, 20), (255, 0, 0)).save(tmp_path / "a.jpg")
    signature = _signature("float[b, 3, h, w] x")
    with pytest.raises(InputError, match="--image-size"):
        open_calibration(tmp_path, signature)
    options = ImageOptions(mean=(0, 0, 0), std=(1, 1, 1), size=(8, 16))
    data = open_calibration(tmp_path, signature, files=FileOptions(options))
    image = next(data.batches("calibration")).feeds["x"]
    assert image.shape == (1, 3, 8, 16)
    np.testing.assert_allclose(image[0].mean((1, 2)), [1, 0, 0], atol=0.02)


def test_images_for_a_model_of_bytes(tmp_path):
    Image.new("RGB", (5, 5), (255, 7, 0)).save(tmp_path / "a.png")
    data = open_calibration(tmp_path, _signature("uint8[b, 5, 5, 3] x"))
    image = next(data.batches("calibration")).feeds["x"]
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image[0, 0, 0], [255, 7, 0])


def test_an_image_that_lies_on_its_side_is_turned(tmp_path):
    image = Image.new("L", (4, 2))
    image.putdata([255] * 4 + [0] * 4)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    data = open_calibration(tmp_path, _signature("uint8[b, 1, 4, 2] x"))
    shown = next(data.batches("calibration")).feeds["x"][0, 0]
    np.testing.assert_array_equal(shown, [[0, 255]] * 4)


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ("float[b, 3] x", {}, "input of 4 axes"),
        ("float[b, 3, 4, 4] x, float[b] z", {}, "2 inputs"),
        ("float[b, 7, 4, 4] x", {}, "1 or 3 channels"),
        ("float[b, 3, 4, 4] x", {"mean": (0.5,)}, "--image-mean"),
        ("float[b, 3, 4, 4] x", {"std": (0.5, 1.0)}, "--image-std"),
    ],
)
def test_images_that_do_not_fit(inputs, options, message, tmp_path):
    Image.new("RGB", (5, 5)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=message):
        open_calibration(tmp_path, _signature(inputs), files=FileOptions(ImageOptions(**options)))


def test_a_deviation_of_zero(tmp_path):
    Image.new("RGB", (5, 5)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="--image-std"):
        open_calibration(
            tmp_path,
            _signature("float[b, 3, 4, 4] x"),
            files=FileOptions(ImageOptions(std=(1, 0, 1))),
        )


def test_a_broken_image(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    data = open_calibration(tmp_path, _signature("float[b, 3, 4, 4] x"))
    with pytest.raises(InputError, match=r"a\.png cannot be read as an image"):
        next(data.batches("calibration"))


# --- more than 8 bits


def _deep(kind):
    """A ramp from black to white, of more than 8 bits a pixel."""
    if kind == "I;16":
        return Image.fromarray((RAMP * 65535).astype(np.uint16))
    if kind == "I":
        return Image.fromarray((RAMP * 65535).astype(np.int32))
    return Image.fromarray(RAMP.astype(np.float32))


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("I;16", "png"), ("I;16", "tiff"), ("I", "tiff"), ("F", "tiff")],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_deep_images_are_scaled_by_their_own_range(kind, suffix, channels, tmp_path):
    _deep(kind).save(tmp_path / f"a.{suffix}")
    found = _read(tmp_path, f"float[b, {channels}, 8, 8] x")
    for channel in found:
        np.testing.assert_allclose(channel, RAMP, atol=2e-5)
    bytes_ = _read(tmp_path, f"uint8[b, 8, 8, {channels}] x")
    np.testing.assert_array_equal(bytes_[:, :, 0], np.rint(RAMP * 255).astype(int))


def test_white_is_white_to_a_model_of_16_bits(tmp_path):
    for name, image in (
        ("a", _deep("I;16")),
        ("b", Image.fromarray((RAMP * 255).astype(np.uint8))),
    ):
        folder = tmp_path / name
        folder.mkdir()
        image.save(folder / "a.png")
        found = _read(folder, "uint16[b, 1, 8, 8] x")
        assert found.dtype == np.uint16
        assert (found.min(), found.max()) == (0, 65535)
        np.testing.assert_allclose(found[0] / 65535, RAMP, atol=0.005)


@pytest.mark.parametrize(
    ("image", "inputs", "message"),
    [
        (Image.fromarray(300 * RAMP.astype(np.float32)), "float[b, 1, 8, 8] x", "from 0 to 300"),
        (Image.fromarray(-RAMP.astype(np.float32)), "float[b, 1, 8, 8] x", "from -1 to"),
        (Image.fromarray(np.full((8, 8), np.nan, np.float32)), "float[b, 1, 8, 8] x", "nan"),
        (
            Image.fromarray((RAMP * 1e6).astype(np.int32)),
            "float[b, 1, 8, 8] x",
            "65535",
        ),
        (_deep("I;16"), "int32[b, 1, 8, 8] x", "more than 8 bits"),
        (_deep("I;16"), "int8[b, 1, 8, 8] x", "int8"),
        (Image.new("L", (8, 8)), "int8[b, 1, 8, 8] x", "int8"),
        (Image.new("L", (8, 8)), "bool[b, 1, 8, 8] x", "bool"),
    ],
)
def test_refused_in_one_sentence_and_never_wrapped(image, inputs, message, tmp_path):
    image.save(tmp_path / "a.tiff")
    with pytest.raises(InputError, match=message) as raised:
        _read(tmp_path, inputs)
    assert "\n" not in str(raised.value)


def test_other_ways_to_store_colours_stay_right(tmp_path):
    """Palettes with transparency, CMYK, an alpha channel; nothing is printed about them."""
    pixels = np.stack([RAMP, RAMP.T, 1 - RAMP], -1)
    image = Image.fromarray((pixels * 255).astype(np.uint8))
    ways = {
        "cmyk.tiff": image.convert("CMYK"),
        "palette.png": image.quantize(256),
        "alpha.png": image.convert("RGBA"),
    }
    for name, stored in ways.items():
        folder = tmp_path / name
        folder.mkdir()
        more = {"transparency": bytes(range(256))} if "palette" in name else {}
        stored.save(folder / name, **more)
        found = _read(folder, "float[b, 8, 8, 3] x")
        np.testing.assert_allclose(found, pixels, atol=0.02, err_msg=name)


def test_an_image_of_too_many_pixels(tmp_path, monkeypatch):
    Image.new("L", (40, 40)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    _read(tmp_path, "float[b, 1, 8, 8] x")  # Pillow only remarks on it, and nobody reads that
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match=r"a\.png has more pixels than Pillow reads"):
        _read(tmp_path, "float[b, 1, 8, 8] x")
