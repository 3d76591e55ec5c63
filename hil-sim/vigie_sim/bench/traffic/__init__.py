"""The traffic bench: SUMO scenarios x controllers x seeds, one process each, with the same clearances for all."""
