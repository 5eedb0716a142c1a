"""The sixth stage: challenger and champion on the same test rows, both from the bytes that would be served."""
