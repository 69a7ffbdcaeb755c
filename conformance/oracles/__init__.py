"""What the suite looks with: nothing here shares code with a driver."""
