"""Specs of DHCP managers."""
