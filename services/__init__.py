"""Services that talk to each other by events only."""
