"""Compress trained ONNX models by calibrated low-rank factorization."""
