"""What images are to each other: duplicates, near-duplicates, groups; and the split that follows, for ever."""
