"""Faults on purpose: links that fail, devices that lie."""
