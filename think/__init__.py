"""A terminal laboratory for small language models that think."""
