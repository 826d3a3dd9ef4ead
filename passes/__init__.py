"""Graph passes: they know graphs, and do no statistics and no input or output."""
