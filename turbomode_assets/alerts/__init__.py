"""What people are told: conditions, messages, to whom they go, and what was told already."""
