"""Reverse-mode differentiation of an ONNX graph, as ONNX nodes."""
