"""The Great Expectations suite of a classifier, its results and its pages."""
