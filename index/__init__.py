"""Floor 2: the library of one-shots: catalogue, scan, watch, vectors, snapshot, search."""
