"""The recipes: one module a model or a family."""
