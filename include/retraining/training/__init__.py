"""The fifth stage: candidates compete on validation rows, and the winner becomes one artifact from pixels to labels."""
