"""Clients of DHCP and DNS, and what else a spec of a DHCP manager asks with. All of it through endpoints."""
