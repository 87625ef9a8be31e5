"""Planted bugs: stores that are wrong in one known way, and which cases of the kit must catch each of them.

A proof that cannot fail proves nothing. Each mutant is the model with one part done wrong; its docstring is the bug.
"""
