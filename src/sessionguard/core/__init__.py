"""Decisions only: no file, socket, thread, environment or clock in this package."""
