"""Measures of a junction, made on the gateway: high-resolution events and what is counted from them."""
