"""Label quality: which labels the vectors contradict. It tells people, and changes nothing."""
