"""The io engine: code that declares no points is stopped where it reaches for what is shared.

Everything is replaced by name (`builtins.open`, `os.rename`, `sqlite3.connect`, methods of psycopg and redis) and put
back when the schedule is over. `sys.addaudithook` would see whoever imported those before, but a hook can never be
removed, costs every process that ran one search something for ever, and is not told of `os.stat`, `os.fsync` or what is
written: half of a check-then-act. What was imported by name before is looked for in the modules instead.
"""
