"""What to run next: which questions are open, and how many seeds, patients or labels would settle them."""
