"""What ran, is due, owed, failed, repaired, let go."""
