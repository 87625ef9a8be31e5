"""The table of planted bugs: each with its fixed twin and with variants that only look wrong, and who must catch it.

A row is one kind of bug that is known from real programs. Its mutants must be caught by every layer that the row names,
with every seed; its twins must be caught by none. `python -m sessionguard.testing.mutants` measures both.
"""
