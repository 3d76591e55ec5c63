"""Policies: keys, checks, bundles and their way to the fleet."""
