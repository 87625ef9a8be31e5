"""The app, as two browsers see it."""

from wsgiref.util import setup_testing_defaults

from shop.app import Shop


def request(app, path, query="", cookie=""):
    """Give status, body and cookie of an answer."""
    environ = {"PATH_INFO": path, "QUERY_STRING": query, "HTTP_COOKIE": cookie}
    setup_testing_defaults(environ)
    told = {}
    body = app(environ, lambda status, headers: told.update(headers, status=status))
    return told["status"][:3], b"".join(body).decode().strip(), told.get("Set-Cookie", "").partition(";")[0]


def test_each_buyer_is_known_by_the_own_cookie():
    """Two buyers with a cookie each do not buy for each other."""
    app = Shop(2)
    ada, bob = (request(app, "/login", f"name={name}")[2] for name in ("ada", "bob"))
    assert request(app, "/buy", cookie=bob)[:2] == ("200", "sold to bob")
    assert request(app, "/buy", cookie=ada)[:2] == ("200", "sold to ada")
    assert request(app, "/buy", cookie=ada)[:2] == ("409", "sold out")


def test_who_has_no_session_buys_nothing():
    """Without a session, or with a forged one, nothing is sold."""
    app = Shop(1)
    assert request(app, "/buy")[0] == "401"
    assert request(app, "/buy", cookie="shop=sg1_0_forged")[0] == "401"
    assert app.stock.count == 1
