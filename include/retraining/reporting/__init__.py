"""What people read: the report of one run, and the overview of a classifier's models."""
