"""Specs of firewall managers."""
