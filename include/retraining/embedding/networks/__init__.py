"""The networks by name: their layers, weights and preprocessing."""
