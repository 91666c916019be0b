"""What should exist, what does, and what to do about the difference."""
