"""Fine-tuning: distillation from the dense model, under singular value thresholding where asked."""
