"""What callers hold of a session: it does not change, and its secret stays with it."""

import copy
import pickle

import pytest

from sessionguard.core.commands import Changed, Save
from sessionguard.core.driving import run
from sessionguard.core.flows import SessionFlows
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.session import Session
from sessionguard.errors import IdentityMismatchError, InvalidArgumentError, StoreDataError
from tests.core.making import record, setting
from tests.core.scripting import ScriptedStore

TOKEN = "sg1_0_ab" + "x" * 43


@pytest.mark.parametrize("name", ["token", "is_new", "removed", "id", "data", "version"])
def test_a_session_does_not_change(name: str) -> None:
    """No attribute can be set."""
    with pytest.raises(AttributeError):
        setattr(Session(record(), token=TOKEN), name, None)


def test_t36_copies_and_pickles_have_no_token() -> None:
    """What travels to a queue or a cache is the session without its secret."""
    session = Session(record(), token=TOKEN, is_new=True)
    pickled = pickle.dumps(session)
    assert TOKEN.encode() not in pickled
    for other in (pickle.loads(pickled), copy.copy(session), copy.deepcopy(session)):
        assert other.token is None
        assert other.is_new
        assert other.data == session.data
        assert other.id == session.id


@pytest.mark.parametrize("data", ["not json", "[1]", ""])
def test_data_changed_by_other_means_is_told_as_such(data: str) -> None:
    """What is no JSON object is a fault of what is stored, not of the caller."""
    with pytest.raises(StoreDataError, match="not a JSON object"):
        _ = Session(record(data=data)).data


@pytest.mark.parametrize("version", [0, -1, 2**70, True, "1", 1.0])
def test_what_cannot_be_a_version_is_refused(version: object) -> None:
    """No store is asked."""
    with pytest.raises(InvalidArgumentError, match="expected_version"):
        run(SessionFlows(setting()).save(Session(record()), {"a": 1}, (), version), ScriptedStore())  # type: ignore[arg-type]


def test_a_mismatch_names_the_store_and_the_verb() -> None:
    """Who reads the error knows where to look."""
    store = ScriptedStore(Changed(Outcome.DONE, record(generation=7)))
    with pytest.raises(IdentityMismatchError) as caught:
        run(SessionFlows(setting()).save(Session(record()), {"a": 1}, (), None), store)
    assert (caught.value.store, caught.value.operation, caught.value.field) == ("scripted", Save.verb, "generation")
    assert store.distrust_count == 1
