"""How the nightly page looks."""
