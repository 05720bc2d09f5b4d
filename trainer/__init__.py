"""Floor 2: the trainer, needed only with the `train` extra: corpus, mixing, model, losses, loop, evaluation, export."""
