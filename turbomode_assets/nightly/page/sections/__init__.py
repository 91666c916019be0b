"""Sections of the nightly page: each a module that gives its values, and a template."""
