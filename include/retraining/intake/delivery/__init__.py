"""What was delivered: which days, which manifest, which images, and whether all of it is there."""
