"""Partitions, jobs and schedules."""
