"""The life of an application: a guard that was opened for it is closed with it."""

from sessionguard.adapters.asgi.messages import App, Message, Receive, Scope, Send
from sessionguard.async_guard import AsyncSessionGuard


async def serve_lifespan(app: App, owned: AsyncSessionGuard | None, scope: Scope, receive: Receive, send: Send) -> None:
    """Pass the lifespan on to `app`, and close the guard `owned` before the server learns that all is down.

    An application that knows no lifespan is given one here, or nobody would close the guard.
    """
    if owned is None:
        await app(scope, receive, send)
        return
    has_begun = False

    async def watched_receive() -> Message:
        nonlocal has_begun
        has_begun = True
        return await receive()

    async def closing_send(message: Message) -> None:
        if message["type"].startswith("lifespan.shutdown."):
            await owned.close()
        await send(message)

    try:
        await app(scope, watched_receive, closing_send)
    except Exception:
        # One that fails before it listens does not speak of lifespans, and by the specification is served all the same.
        if has_begun:
            await owned.close()
            raise
    if not has_begun:
        await _serve_alone(owned, receive, send)


async def _serve_alone(owned: AsyncSessionGuard, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await owned.close()
    await send({"type": "lifespan.shutdown.complete"})
