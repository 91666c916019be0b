"""Stores and homes of earlier versions of the program, and the proof that they go on working."""
