"""Running models in onnxruntime: sessions, timings, what operators multiply, weights on disk."""
