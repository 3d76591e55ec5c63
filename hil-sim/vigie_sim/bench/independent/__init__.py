"""``vigie-sim bench independent``: our drivers against servers that others wrote. What is not there is told."""
