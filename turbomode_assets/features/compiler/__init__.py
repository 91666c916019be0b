"""From traced formulas to programs that run over whole panels."""
