"""Floor 1: audio in, embeddings out. Errors, decoding, windows, model packages, ONNX Runtime sessions."""
