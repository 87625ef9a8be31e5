"""What a role has to be granted before it may use the tables, as the statements that grant it."""

from collections.abc import Iterable


def quoted(name: str) -> str:
    """Give a name as SQL takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def grants(schema: str, role: str) -> str:
    """Give the statements that let a role use the schema of a store; they are for the owner of the schema to run."""
    return _joined(
        f"GRANT {right} TO {quoted(role)}"
        for right in (
            f"USAGE ON SCHEMA {quoted(schema)}",
            f"SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {quoted(schema)}",
            # Everyone has it, unless the database was hardened.
            f"EXECUTE ON ALL FUNCTIONS IN SCHEMA {quoted(schema)}",
        )
    )


def _joined(statements: Iterable[str]) -> str:
    return "; ".join(statements)
