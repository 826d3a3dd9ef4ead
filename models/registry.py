"""The names of the recipes."""

from pathlib import Path

from models.errors import RecipeError
from models.recipe import Recipe
from models.recipes.crepe import CrepeTinyRecipe
from models.recipes.efficientnet_lite import EfficientNetLite0
from models.recipes.fashion import FashionCnn, FashionResNet, FashionVit
from models.recipes.magika import Magika
from models.recipes.minilm import MiniLm
from models.recipes.ppocr_cls import PpOcrCls
from models.recipes.ppocr_det import PpOcrDet
from models.recipes.ppocr_rec import PpOcrRec
from models.recipes.silero import SileroVad, SileroVadIf
from models.recipes.smollm2 import SmolLm2

_RECIPES: tuple[type[Recipe], ...] = (
    FashionCnn,
    PpOcrRec,
    PpOcrDet,
    PpOcrCls,
    MiniLm,
    EfficientNetLite0,
    SileroVad,
    SileroVadIf,
    Magika,
    CrepeTinyRecipe,
    FashionResNet,
    FashionVit,
    SmolLm2,
)


def names() -> list[str]:
    """Return the names of all recipes, in the order of ``list``."""
    return [recipe.name for recipe in _RECIPES]


def get(name: str, root: Path | None = None) -> Recipe:
    """Return the recipe of that name.

    Args:
        name: one of `names`.
        root: the cache's root; by default the environment's or the repository's.

    Raises:
        RecipeError: there is no such recipe.
    """
    for recipe in _RECIPES:
        if recipe.name == name:
            return recipe(root)
    raise RecipeError(f"There is no model called {name!r}; there are: {', '.join(names())}.")
