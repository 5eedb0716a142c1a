"""The second stage: accepted batches become one frozen dataset whose splits never change for an image."""
