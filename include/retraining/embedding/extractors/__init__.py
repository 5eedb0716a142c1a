"""The extractor as a worker runs it: resized images, a runtime, a device, and the proof that it works."""
