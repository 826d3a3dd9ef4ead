"""Where the data comes from: one module a source."""
