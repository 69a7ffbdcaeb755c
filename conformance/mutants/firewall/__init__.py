"""Wrong firewall managers."""
