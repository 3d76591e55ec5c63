"""Modbus TCP and RTU: codec, block planner, driver."""
