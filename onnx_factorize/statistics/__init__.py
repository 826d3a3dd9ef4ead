"""What calibration data tell of a model: moments of inputs and gradients."""
