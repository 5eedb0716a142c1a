"""The object store: the verbs that the pipeline needs, what implements them, and how artifacts are published."""
