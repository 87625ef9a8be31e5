"""The two drivers of scripts: one for a blocking connection, one for an async one."""

import time
from typing import TypeVar

from sessionguard.stores.postgres.connecting import AsyncConnection, BlockingConnection
from sessionguard.stores.postgres.schema import Script

R = TypeVar("R")


def play(script: Script[R], connection: BlockingConnection, seconds: float) -> R:
    """Run `script` to its end within so many seconds. If it raises, the connection is to be closed."""
    connection.answer_by = time.monotonic() + seconds
    try:
        statement, parameters = next(script)
        while True:
            try:
                cursor = connection.execute(statement.encode(), parameters, prepare=False)
                rows = cursor.fetchall() if cursor.description is not None else []
            except Exception as error:
                statement, parameters = script.throw(error)
            else:
                statement, parameters = script.send(rows)
    except StopIteration as done:
        result: R = done.value
        return result
    finally:
        script.close()


async def play_async(script: Script[R], connection: AsyncConnection, seconds: float) -> R:
    """Run `script` to its end within so many seconds. If it raises, the connection is to be closed."""
    connection.answer_by = time.monotonic() + seconds
    try:
        statement, parameters = next(script)
        while True:
            try:
                cursor = await connection.execute(statement.encode(), parameters, prepare=False)
                rows = await cursor.fetchall() if cursor.description is not None else []
            except Exception as error:
                statement, parameters = script.throw(error)
            else:
                statement, parameters = script.send(rows)
    except StopIteration as done:
        result: R = done.value
        return result
    finally:
        script.close()
