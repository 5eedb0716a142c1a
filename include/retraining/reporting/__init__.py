"""What people read: the report of one run, the card of a version, and the overview of a classifier's models."""
