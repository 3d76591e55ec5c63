"""Policies: the document, its resolution, its life on a gateway."""
