"""The mapping that views read and write: filled at its first use, it knows which top-level fields were changed."""

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, ClassVar, Final, Self

from sessionguard.core.data import differing
from sessionguard.core.session import Session, private_copy

_CONTAINERS: Final = (dict, list)
PLAIN: Final = frozenset({str, int, bool, type(None)})
"""Types whose values JSON gives back as they are. Most values are of these, and need not be turned into JSON and back
to know how they are stored, which takes longer than all else about them."""


class Fields(MutableMapping[str, Any]):
    """The data of the visitor's session. Values changed in place are noticed.

    Writing to it after the response was sent raises `SessionSealedError`, and in a view marked `read_only`
    `MisuseError`. A framework's session object extends this class with what its users expect beyond a mapping.
    """

    renewing: ClassVar[frozenset[str]] = frozenset()
    """The fields whose change has the client get a new token, because they say how long it is to keep it."""
    exempt: ClassVar[frozenset[str]] = frozenset()
    """The fields that the framework itself may write in a view marked `read_only`."""

    def __init__(self, source: Callable[[], Session | None]) -> None:
        """`source` gives the session of the request when it is needed first."""
        self._source = source
        self._base: Session | None = None
        self._stored: dict[str, Any] = {}
        # The fields whose stored values are those of the base, and were not read yet.
        self._unread: tuple[str, ...] = ()
        self._values: dict[str, Any] | None = None
        # The fields whose values the application has written, or holds and may have changed in place.
        self._held: set[str] = set()
        self._is_discarded = False
        self._is_written = False
        self.barrier: Callable[[], Exception] | None = None
        """Makes what writing raises from now on."""

    # The form of values

    def decoded(self, stored: Any) -> Any:
        """Give the value that the stored list or object describes, sharing nothing with it."""
        if isinstance(stored, dict):
            return {name: Fields.decoded(self, item) for name, item in stored.items()}
        return [Fields.decoded(self, item) for item in stored] if isinstance(stored, list) else stored

    def encoded(self, stored: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
        """Give those of `values`, as they are to be stored, that are not already so in `stored`."""
        return differing(stored, values)

    # The mapping

    def __getitem__(self, name: str) -> Any:
        values = self._loaded()
        value = values[name]
        if isinstance(value, _CONTAINERS) and name not in self._held:
            value = values[name] = self.decoded(value)
            self._held.add(name)
        return value

    def __setitem__(self, name: str, value: Any) -> None:
        self._writable()[name] = value
        self._held.add(name)

    def __delitem__(self, name: str) -> None:
        del self._writable()[name]
        self._held.discard(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded())

    def __len__(self) -> int:
        return len(self._loaded())

    def __contains__(self, name: object) -> bool:
        return name in self._loaded()

    def __repr__(self) -> str:
        name = type(self).__name__
        if self._values is None:
            return f"<{name}, not loaded>"
        return f"<{name} {self._base.id if self._base else 'none'} fields={sorted(self._values)}>"

    # What a dictionary has beyond a mapping

    def copy(self) -> dict[str, Any]:
        """Give the data as a plain dictionary."""
        return dict(self)

    def popitem(self) -> tuple[str, Any]:
        """Remove the field that was added last, and give its name and value."""
        for name in reversed(self):
            return name, self.pop(name)
        raise KeyError("popitem(): the session is empty")

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._loaded())

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return self.copy() | dict(other)

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return dict(other) | self.copy()

    def __ior__(self, other: Any) -> Self:  # type: ignore[misc]
        self.update(other)
        return self

    # What it says of itself

    @property
    def is_new(self) -> bool:
        """Whether the visitor came without a session."""
        self._loaded()
        return self._base is None or self._base.is_new

    @property
    def is_written(self) -> bool:
        """Whether fields were written, or said to be."""
        return self._is_written

    def mark_written(self) -> None:
        """Say that fields were written."""
        self._writable()

    def discard(self) -> None:
        """Forget what was written so far: it is not stored unless something is written again."""
        self._is_written, self._is_discarded = False, True

    @property
    def modified(self) -> bool:
        """Whether fields were written, for Flask and Starlette. Setting it to False discards what was changed."""
        return self.is_written

    @modified.setter
    def modified(self, value: bool) -> None:
        if value:
            self.mark_written()
        else:
            self.discard()

    # What a visit asks

    @property
    def version(self) -> int | None:
        """The version of the data that the request saw; None if it saw none."""
        return None if self._base is None else self._base.version

    @property
    def is_changed_or_held(self) -> bool:
        """Whether the application may have changed anything."""
        return self._values is not None and (bool(self._held) or len(self._values) != len(self._before()))

    def changes(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Give the changed fields, as they are to be stored, and the names of the removed ones."""
        values = self._values
        if values is None or self._is_discarded or not self.is_changed_or_held:
            # Whatever was added is held, so nothing was removed either: the way of every request that only reads.
            return {}, ()
        stored = self._before()
        removed = tuple([name for name in stored if name not in values])
        # In the order in which they were written, which is that in which they come back.
        held = {name: value for name, value in values.items() if name in self._held}
        return self.encoded(stored, held), removed

    def settle(self, session: Session, changed: Iterable[str], removed: Iterable[str]) -> None:
        """Go on from what was stored: what others stored meanwhile is neither seen, nor removed or overwritten."""
        if self._values is not None:
            stored = self._before()
            for name in removed:
                stored.pop(name, None)
            # Read when somebody asks; after the one save that most requests make, nobody does.
            self._base, self._unread = session, tuple([name for name in changed if name in self._values])

    def rest_on(self, session: Session) -> None:
        """Go on with `session`, which was opened or received; what is no field of it is gone."""
        if self._values is None or (self._base is not None and self._base.id == session.id):
            return
        self._base, self._stored, self._unread = session, private_copy(session), ()
        # What the application holds of the former fields is not carried into another session.
        self._values = {name: self._values.get(name, value) for name, value in self._stored.items()}
        self._held &= self._stored.keys()

    def empty(self) -> None:
        """Go on without a session: what is written from now on goes to a new one."""
        self._base, self._stored, self._unread, self._values = None, {}, (), {}
        self._held.clear()

    def forget(self) -> None:
        """Be filled anew at the next use, for the session has been loaded again."""
        self._base, self._stored, self._unread, self._values = None, {}, (), None
        self._held.clear()

    def _loaded(self) -> dict[str, Any]:
        values = self._values
        if values is None:
            self._base = session = self._source()
            if session is not None:
                self._stored = private_copy(session)
            values = self._values = dict(self._stored)
        return values

    def _before(self) -> dict[str, Any]:
        """Give the fields as they are stored, as far as this request knows."""
        if self._unread and self._base is not None:
            fields = private_copy(self._base)
            self._stored.update({name: fields[name] for name in self._unread if name in fields})
            self._unread = ()
        return self._stored

    def _writable(self) -> dict[str, Any]:
        if self.barrier is not None:
            raise self.barrier()
        values = self._loaded()
        self._is_written, self._is_discarded = True, False
        return values
