"""Loading by token, and why a token is refused; reading by id."""

from sessionguard.core.driving import perform
from sessionguard.testing.contracts.cases import Steps, case
from sessionguard.testing.contracts.stage import ABSOLUTE, IDLE, SECOND, START, TICK, TOUCH, Stage


@case
def load_gives_the_session_of_the_token(s: Stage) -> Steps:
    """`load` gives the session whose token it is, whole, without writing anything before a touch is due."""
    ana = (yield from perform(s.get_or_create("ana", data={"n": 1}))).record
    yield from perform(s.get_or_create("bea", data={"n": 2}))
    loaded = yield from perform(s.load(ana, at=TOUCH - TICK))
    assert loaded.record == ana
    assert (loaded.touched, loaded.refusal, loaded.refused_id) == (False, None, None)
    assert (yield from perform(s.get(ana))) == ana


@case
def load_touches_when_due(s: Stage) -> Steps:
    """`load` extends the session once the touch interval has passed, in the same step, and says so."""
    ana = (yield from perform(s.create("ana", data={"n": 1}))).record
    loaded = yield from perform(s.load(ana, at=TOUCH))
    assert loaded.touched
    assert loaded.record is not None
    assert (loaded.record.last_seen_us, loaded.record.expires_us) == (s.us(TOUCH), s.us(TOUCH + IDLE))
    assert (loaded.record.version, loaded.record.data) == (ana.version, ana.data)
    assert (yield from perform(s.get(ana, at=TOUCH))) == loaded.record
    again = yield from perform(s.load(ana, at=TOUCH + SECOND))
    assert (again.touched, again.record) == (False, loaded.record)


@case
def an_unknown_token_opens_nothing(s: Stage) -> Steps:
    """An unknown token is refused as `unknown`, names no session, and leaves nothing behind."""
    stranger = s.new("ana")
    loaded = yield from perform(s.load(stranger))
    assert loaded.record is None
    assert (loaded.refusal, loaded.refused_id, loaded.touched) == ("unknown", None, False)
    assert (yield from perform(s.get(stranger))) is None
    assert (yield from perform(s.load(stranger))).refusal == "unknown"


@case
def an_unknown_id_is_never_adopted(s: Stage) -> Steps:
    """No verb that works on a session id makes a session of an id that the store does not know."""
    stranger = s.new("ana")
    for command in (
        s.save(stranger, {"n": 1}),
        s.touch(stranger),
        s.rotate(stranger),
        s.end(stranger),
    ):
        changed = yield from perform(command)
        assert (changed.outcome.name, changed.record) == ("ENDED", None), command.verb
        assert (yield from perform(s.get(stranger))) is None, command.verb
        assert (yield from perform(s.load(stranger))).record is None, command.verb


@case
def a_session_loads_until_its_idle_deadline(s: Stage) -> Steps:
    """A session loads a tick before its idle deadline, and at the deadline and after it is refused as `expired`."""
    for at, alive in ((IDLE - TICK, True), (IDLE, False), (IDLE + TICK, False)):
        opened = (yield from perform(s.create("ana"))).record
        loaded = yield from perform(s.load(opened, at=at))
        assert (loaded.record is not None) == alive, at
        if not alive:
            assert (loaded.refusal, loaded.refused_id) == ("expired", opened.id), at
            stored = yield from perform(s.get(opened, at=at))
            assert stored is not None
            assert (stored.expires_us, stored.last_seen_us) == (opened.expires_us, opened.last_seen_us), at


@case
def a_session_loads_until_its_absolute_deadline(s: Stage) -> Steps:
    """A session kept busy loads a tick before its absolute deadline, and never at the deadline or after it."""
    for at, alive in ((ABSOLUTE - TICK, True), (ABSOLUTE, False), (ABSOLUTE + TICK, False)):
        opened = (yield from perform(s.create("ana"))).record
        seen = START
        while seen + IDLE < ABSOLUTE:
            seen += IDLE - TICK
            assert (yield from perform(s.load(opened, at=seen))).record is not None, seen
        loaded = yield from perform(s.load(opened, at=at))
        assert (loaded.record is not None) == alive, at
        assert loaded.refusal == (None if alive else "expired"), at


@case
def an_expired_session_reads_as_ended(s: Stage) -> Steps:
    """`get` shows a session from its deadline on as ended `expired` at that deadline, before any sweep came by."""
    opened = (yield from perform(s.create("ana"))).record
    before = yield from perform(s.get(opened, at=IDLE - TICK))
    assert before == opened
    for at in (IDLE, IDLE + SECOND):
        read = yield from perform(s.get(opened, at=at))
        assert read is not None
        assert (read.reason, read.ended_us) == ("expired", opened.expires_us), at


@case
def the_scope_filters(s: Stage) -> Steps:
    """A token presented in another scope is refused as `foreign scope` and not touched; without a scope it loads."""
    opened = (yield from perform(s.create("ana", scope="desk"))).record
    loaded = yield from perform(s.load(opened, scope="shop", at=TOUCH))
    assert loaded.record is None
    assert (loaded.refusal, loaded.refused_id, loaded.touched) == ("foreign scope", opened.id, False)
    assert (yield from perform(s.get(opened, at=TOUCH))) == opened
    assert (yield from perform(s.load(opened, scope="desk"))).record == opened
    assert (yield from perform(s.load(opened, scope=None))).record == opened


@case
def a_scope_is_compared_as_it_is(s: Stage) -> Steps:
    """A scope that differs only in case, in a prefix or in a suffix is a foreign scope."""
    opened = (yield from perform(s.create("ana", scope="desk"))).record
    for scope in ("Desk", "des", "desk1", "desk:", "%", "d_sk", "*"):
        assert (yield from perform(s.load(opened, scope=scope))).refusal == "foreign scope", scope


@case
def an_ended_session_is_refused(s: Stage) -> Steps:
    """The token of an ended session is refused as `ended`, and names the session for the log."""
    opened = (yield from perform(s.create("ana"))).record
    yield from perform(s.end(opened, at=SECOND))
    loaded = yield from perform(s.load(opened, at=SECOND))
    assert (loaded.record, loaded.refusal, loaded.refused_id) == (None, "ended", opened.id)


@case
def a_swept_session_is_refused_as_expired(s: Stage) -> Steps:
    """The token of a session that a sweep ended is refused as `expired`, as it was before the sweep."""
    opened = (yield from perform(s.create("ana"))).record
    yield from perform(s.sweep(at=IDLE))
    assert (yield from perform(s.load(opened, at=IDLE))).refusal == "expired"


@case
def a_read_is_not_a_write(s: Stage) -> Steps:
    """Loading and reading many times changes neither data nor version nor, before a touch is due, any instant."""
    opened = (yield from perform(s.get_or_create("ana", data={"n": [1]}))).record
    for step in range(5):
        yield from perform(s.load(opened, at=step * SECOND))
        yield from perform(s.get(opened, at=step * SECOND))
        yield from perform(s.get_or_create("ana", data={"n": 2}, at=step * SECOND))
    assert (yield from perform(s.get(opened, at=TOUCH - TICK))) == opened


@case(needs="shared")
def another_connection_sees_the_same(s: Stage) -> Steps:
    """What one connection has written, another one sees as soon as the reply is there."""
    opened = (yield from perform(s.get_or_create("ana", data={"n": 1}))).record
    assert (yield from perform(s.elsewhere(s.load(opened)))).record == opened
    yield from perform(s.elsewhere(s.save(opened, {"n": 2})))
    seen = (yield from perform(s.load(opened))).record
    assert seen is not None
    assert (seen.version, seen.data) == (2, '{"n":2}')
    yield from perform(s.end(opened))
    assert (yield from perform(s.elsewhere(s.load(opened)))).refusal == "ended"
