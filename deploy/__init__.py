"""Around the compose stack: its secrets, its health, its bucket, and the demonstration on it."""
