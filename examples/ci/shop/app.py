"""The shop as a WSGI app: POST /login?name, POST /buy, both with the session in a cookie."""

from http.cookies import SimpleCookie
from urllib.parse import parse_qs

from sessionguard import SessionGuard
from shop.stock import Stock
from shop.stores import ShopStore


class Shop:
    """The app, with so many things to sell."""

    def __init__(self, count):
        self.guard = SessionGuard(ShopStore(), sweep_interval=None)
        self.stock = Stock(count)

    def __call__(self, environ, start_response):
        cookies = SimpleCookie(environ.get("HTTP_COOKIE", ""))
        session = self.guard.load(cookies["shop"].value) if "shop" in cookies else None
        headers = [("Content-Type", "text/plain"), ("Cache-Control", "private, no-store")]
        if environ["PATH_INFO"] == "/login":
            name = parse_qs(environ["QUERY_STRING"])["name"][0]  # a real shop checks a password before this line
            session = self.guard.create(name)
            headers.append(("Set-Cookie", f"shop={session.token}; HttpOnly; Secure; SameSite=Lax"))
            status, said = "200 OK", f"welcome, {name}"
        elif session is None:
            status, said = "401 Unauthorized", "log in first"
        elif self.stock.take():
            status, said = "200 OK", f"sold to {session.owner}"
        else:
            status, said = "409 Conflict", "sold out"
        start_response(status, headers)
        return [f"{said}\n".encode()]
