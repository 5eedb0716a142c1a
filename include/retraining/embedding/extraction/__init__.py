"""Shards of images become stored vectors."""
