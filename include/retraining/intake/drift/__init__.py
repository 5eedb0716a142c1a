"""How far a batch is from the batches before it."""
