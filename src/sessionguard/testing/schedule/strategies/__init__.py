"""Ways to search the schedules of a scenario: one file each, behind one protocol."""
