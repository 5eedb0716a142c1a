"""Beside the way of the data: synthetic vectors as pictures, and what an image-level network makes of them."""
