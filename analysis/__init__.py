"""What came out of a run, read from its history. Needs neither ray nor torch."""
