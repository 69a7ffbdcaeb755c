"""Where specs run: a kernel with the tools on it. ``local`` is the embedded default."""
