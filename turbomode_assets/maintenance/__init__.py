"""Keeping the stores small and safe: what is still needed, compaction, backup and restore.

Nothing here makes, changes or removes a row. Import the modules themselves.
"""
