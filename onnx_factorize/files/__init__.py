"""Reading and writing models, whole or not at all."""
