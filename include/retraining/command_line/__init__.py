"""The command line over the same steps as the Dag. Beside `include.orchestration`, all that reads the environment."""
