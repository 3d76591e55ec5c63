"""Sparkplug B 3.0: codec, topics, and the edge node and the host as pure state machines."""
