"""Pages that are sent around the middleware: they may show who is logged in, and are private all the same."""

from sessionguard.adapters.asgi.exchange import EXCHANGE, HttpExchange
from sessionguard.adapters.asgi.messages import App, Message, Receive, Scope, Send


class PrivatePages:
    """Around a whole application, whose error page comes from outside of all middleware."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass all on, with the headers of the session on a response that did not come through the middleware."""

        async def private_send(message: Message) -> None:
            exchange = scope.get(EXCHANGE)
            if message["type"] == "http.response.start" and isinstance(exchange, HttpExchange):
                message = exchange.as_page(message)
            await send(message)

        await self.app(scope, receive, private_send)
