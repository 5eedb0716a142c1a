"""The demonstration: real images, delivered to the embedded stack and retrained on. `python -m demo` runs it."""
