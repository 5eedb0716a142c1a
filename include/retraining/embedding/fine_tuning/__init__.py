"""Trains the network on a classifier's own train images, when the recipe says that it is due."""
