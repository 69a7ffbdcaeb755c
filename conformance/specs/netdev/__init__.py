"""Specs of network device drivers."""
