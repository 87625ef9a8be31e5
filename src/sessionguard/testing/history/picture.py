"""A history as text: one column per client, a line where each call begins and ends, and the verdict below.

The layout is that of Lincheck's tables: time goes down, and whatever overlaps can have happened in either order.
"""

from collections.abc import Sequence
from typing import Final

from sessionguard.testing.history.operations import Operation
from sessionguard.testing.history.showing import called, cut, shown, shown_value

_MOST_OPERATIONS: Final = 60
_WIDTH: Final = 34


def lanes(operations: Sequence[Operation], marked: Operation | None = None) -> str:
    """Give the operations as a table; the line of `marked` carries an arrow.

    What was called after `marked` had returned is left out, and of a long history all but the last operations.
    """
    chosen = _near(operations, marked)
    clients = list(dict.fromkeys(operation.client for operation in chosen))
    events = [(operation.call, 0, number) for number, operation in enumerate(chosen)]
    events += [(operation.ret, 1, number) for number, operation in enumerate(chosen) if operation.ret is not None]
    lines = [] if len(chosen) == len(operations) else [f"({len(operations) - len(chosen)} operations are left out)"]
    lines.append(" | ".join(client[:_WIDTH].ljust(_WIDTH) for client in clients).rstrip())
    under_way: dict[str, int] = {}
    for _, is_return, number in sorted(events):
        operation = chosen[number]
        if is_return:
            under_way.pop(operation.client, None)
        text = _end(operation) if is_return else _begin(operation)
        cells = ["  :" if client in under_way else "" for client in clients]
        cells[clients.index(operation.client)] = text
        if not is_return and operation.ret is not None:
            under_way[operation.client] = number
        arrow = "   <--" if is_return and operation is marked else ""
        lines.append(" | ".join(cell[:_WIDTH].ljust(_WIDTH) for cell in cells).rstrip() + arrow)
    return "\n".join(lines)


def listing(operations: Sequence[Operation], sign: str = "") -> str:
    """Give one operation a line, in the order in which they stand."""
    widest = max((len(operation.client) for operation in operations), default=0)
    return "\n".join(f"  {sign}{operation.client:{widest}}  {shown(operation)}" for operation in operations)


def _begin(operation: Operation) -> str:
    text = called(operation)
    if operation.outcome == "info":
        return f"{text[: _WIDTH - 3]} ??"
    return text


def _end(operation: Operation) -> str:
    result = shown_value(operation.result) if operation.outcome == "ok" else f"failed: {operation.result}"
    return cut(f"  => {result}")


def _near(operations: Sequence[Operation], marked: Operation | None) -> Sequence[Operation]:
    if marked is None or marked.ret is None:
        return operations[:_MOST_OPERATIONS]
    # What was called later has no part in it.
    return [operation for operation in operations if operation.call <= marked.ret][-_MOST_OPERATIONS:]
