"""The fourth stage: train rows are balanced by a plan that names both parents of every synthetic row."""
