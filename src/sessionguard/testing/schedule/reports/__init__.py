"""A failure told to people and to machines: a table, a page, JUnit XML, JSON."""
