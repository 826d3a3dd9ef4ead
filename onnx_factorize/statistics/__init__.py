"""Statistics of calibration data in a model: moments of inputs and gradients."""
