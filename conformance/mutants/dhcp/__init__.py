"""Wrong DHCP managers."""
