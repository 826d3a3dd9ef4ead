"""The one exception that recipes raise on purpose."""


class RecipeError(Exception):
    """A recipe cannot go on; the message is one sentence for the user."""
