"""Recipes for real models: how to get each one, its data, its metric and its licence.

Nothing here is installed with onnx-factorize. Run it from the repository root:

    python -m models list
    python -m models fetch ppocr-rec
    python -m models evaluate ppocr-rec dense.onnx compressed.onnx

From Python, ``models.get(name)`` returns a `Recipe`.
"""

from models.errors import RecipeError
from models.recipe import Recipe
from models.registry import get, names

__all__ = ["Recipe", "RecipeError", "get", "names"]
