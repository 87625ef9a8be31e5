"""Whose session a request works with: kept in a module, in a context that is not reset, or saved too late."""

import threading
from collections.abc import Callable, Iterator
from contextvars import Context, ContextVar
from functools import partial
from pathlib import Path

from sessionguard.core.points import point
from sessionguard.testing.history import History
from sessionguard.testing.mutants.table.rows import Make
from sessionguard.testing.schedule import Scenario

# Row 5: module-level state


class OneUserForAll:
    """Keeps the user of the request in a variable of the module, which all threads share."""

    def __init__(self, folder: Path) -> None:
        self.user = ""

    def answer(self, user: str) -> str:
        """Serve a request of a user, and give for whom it was."""
        point("set user", "user", "w")
        self.user = user
        point("read user", "user", "r")
        return self.user


class OneUserPerThread(OneUserForAll):
    """Keeps the user of the request in a variable of the thread."""

    def __init__(self, folder: Path) -> None:
        self.local = threading.local()

    def answer(self, user: str) -> str:
        point("set user", ("user", user), "w")
        self.local.user = user
        point("read user", ("user", user), "r")
        return str(self.local.user)


class UserIsPassed(OneUserForAll):
    """Hands the user of the request on as an argument, and counts requests in a variable of the module."""

    def answer(self, user: str) -> str:
        point("count", "count", "w")
        return user


def two_users(s: Scenario, make: Make, folder: Path) -> None:
    """Two users are served at the same time."""
    site = make(folder)

    def request(user: str) -> None:
        with s.history.record(user, "request", user=user) as op:
            op.ok(site.answer(user))

    for user in ("ana", "bob"):
        s.worker(user, partial(request, user))
    s.check(nobody_is_another)


def nobody_is_another(history: History) -> None:
    """Every request was for the user who sent it."""
    for operation in history.operations:
        sender = operation.args["user"]
        assert operation.result == sender, f"{sender or 'an anonymous visitor'} was served as {operation.result}"


# Row 6: a context that is not reset


class LeavesTheContext:
    """Sets the user of the request in a context variable, and leaves it there when the request fails."""

    def __init__(self, folder: Path) -> None:
        self.user: ContextVar[str] = ContextVar("user", default="")

    def answer(self, user: str) -> str:
        """Serve a request, anonymous if `user` is empty, and give for whom it was; one of ana fails."""
        if user:
            token = self.user.set(user)
            if user == "ana":
                raise ConnectionError("ana has gone")
            served = self.user.get()
            self.user.reset(token)
            return served
        return self.user.get()


class ResetsTheContext(LeavesTheContext):
    """Sets the user of the request in a context variable, and resets it however the request ends."""

    def answer(self, user: str) -> str:
        token = self.user.set(user)
        try:
            if user == "ana":
                raise ConnectionError("ana has gone")
            return self.user.get()
        finally:
            self.user.reset(token)


class StreamsInTheContext(LeavesTheContext):
    """Sets the user in a generator that streams the answer: left half-way, it sets nothing back."""

    def answer(self, user: str) -> str:
        if user:
            self.streams = getattr(self, "streams", [])
            stream = self.stream(user)
            # Kept, as a server keeps the stream of a visitor who has gone until it is collected.
            self.streams.append(stream)
            return next(stream)
        return self.user.get()

    def stream(self, user: str) -> Iterator[str]:
        """Give the user for whom it is, in two parts."""
        token = self.user.set(user)
        yield self.user.get()
        yield ""
        self.user.reset(token)


class StreamsInItsOwnContext(StreamsInTheContext):
    """Plays the generator that streams the answer in a context of its own."""

    def answer(self, user: str) -> str:
        return Context().run(super().answer, user) if user else self.user.get()


def one_worker_after_another(s: Scenario, make: Make, folder: Path) -> None:
    """Two threads of a server take requests from one queue; each thread keeps its context from request to request."""
    site = make(folder)
    queue = ["ana", "", "bob", ""]

    def serve(context: Context) -> None:
        point("take a request", "queue", "w")
        user = queue.pop(0)
        with s.history.record(f"visitor {len(queue)}", "request", user=user) as op:
            try:
                op.ok(context.run(site.answer, user))
            except ConnectionError as error:
                op.fail(error)

    for name in ("first thread", "second thread"):
        s.worker(name, *[partial(serve, Context())] * 2)
    s.check(_nobody_who_was_answered_is_another)


def _nobody_who_was_answered_is_another(history: History) -> None:
    answered = History()
    answered.add(operation for operation in history.operations if operation.outcome == "ok")
    nobody_is_another(answered)


# Row 30: a save after the headers


class SavesAfterTheBody:
    """Saves the whole session when the body has been streamed; the next request begins when it has the headers."""

    def __init__(self, folder: Path) -> None:
        self.session: dict[str, int] = {}

    def answer(self, field: str, send_headers: Callable[[], None]) -> None:
        """Serve a request that sets a field, and stream its answer."""
        point("load", "session", "r")
        session = self.session | {field: 1}
        send_headers()
        point("stream the body", f"body of {field}", "w")
        point("save", "session", "w")
        self.session = session


class SavesBeforeTheHeaders(SavesAfterTheBody):
    """Saves the whole session, and sends the headers then."""

    def answer(self, field: str, send_headers: Callable[[], None]) -> None:
        point("load", "session", "r")
        session = self.session | {field: 1}
        point("save", "session", "w")
        self.session = session
        send_headers()
        point("stream the body", f"body of {field}", "w")


class SavesOneFieldLate(SavesAfterTheBody):
    """Saves when the body has been streamed, but only the field that it has changed."""

    def answer(self, field: str, send_headers: Callable[[], None]) -> None:
        send_headers()
        point("stream the body", f"body of {field}", "w")
        point("save the field", "session", "w")
        self.session = self.session | {field: 1}


def a_request_after_the_headers(s: Scenario, make: Make, folder: Path) -> None:
    """A page is streamed; whoever has its headers sends the next request."""
    site = make(folder)

    def request(field: str) -> None:
        with s.history.record(field, "request", field=field) as op:
            site.answer(field, op.ok)

    def nothing_is_lost(history: History) -> None:
        first, *others = history.operations
        for other in others:
            if first.ret is not None and other.call > first.ret:
                lost = {first.args["field"], other.args["field"]} - site.session.keys()
                assert not lost, f"what the request for {', '.join(lost)} had set is gone"

    for field in ("page", "next"):
        s.worker(field, partial(request, field))
    s.check(nothing_is_lost)
