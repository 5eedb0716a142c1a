"""The embedding store: vectors in verified parts, and the index of what is there."""
