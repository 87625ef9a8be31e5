"""What the strategies call valid is accepted, what they call invalid is refused, and both shrink to something plain."""

from typing import Any

import pytest
from hypothesis import find, given
from hypothesis import strategies as st

from sessionguard.core.arguments import is_session_id, valid_external_id
from sessionguard.core.data import encode_fields
from sessionguard.core.tokens import parse_token
from sessionguard.errors import InvalidArgumentError
from sessionguard.testing import machine_settings, strategies

SETTINGS = machine_settings(max_examples=200)


@SETTINGS
@given(strategies.owners(), strategies.invalid_owners())
def test_owners(valid: str, invalid: Any) -> None:
    """Valid owners are taken, invalid ones are not."""
    assert strategies.is_owner(valid)
    assert not strategies.is_owner(invalid)


@SETTINGS
@given(strategies.twins())
def test_twins(twins: tuple[str, str]) -> None:
    """Twins are two valid owners, not one."""
    assert twins[0] != twins[1]
    assert all(map(strategies.is_owner, twins))


@SETTINGS
@given(strategies.external_ids(), strategies.invalid_external_ids())
def test_external_ids(valid: str | None, invalid: Any) -> None:
    """Valid external ids are taken, invalid ones are not."""
    assert valid_external_id(valid) == valid
    with pytest.raises(InvalidArgumentError):
        valid_external_id(invalid)


@SETTINGS
@given(strategies.session_ids(), strategies.invalid_session_ids())
def test_session_ids(valid: str, invalid: Any) -> None:
    """The forms of session ids are told apart."""
    assert is_session_id(valid)
    assert not is_session_id(invalid)


@SETTINGS
@given(strategies.tokens(), strategies.invalid_tokens())
def test_tokens(valid: str, invalid: Any) -> None:
    """The forms of tokens are told apart."""
    assert parse_token(valid) is not None
    assert parse_token(invalid) is None


@SETTINGS
@given(strategies.file_names(), strategies.invalid_file_names())
def test_file_names(valid: str, invalid: Any) -> None:
    """Valid names of files are taken, invalid ones are not."""
    assert strategies.is_file_name(valid)
    assert not strategies.is_file_name(invalid)


@SETTINGS
@given(strategies.data(), strategies.invalid_data())
def test_data(valid: dict[str, Any], invalid: dict[Any, Any]) -> None:
    """Valid data are JSON, invalid data are refused by name and not by a crash."""
    assert encode_fields(valid, max_depth=32).keys() == valid.keys()
    with pytest.raises(InvalidArgumentError):
        encode_fields(invalid, max_depth=32)


def is_whole(chunks: list[strategies.Chunk]) -> bool:
    """Tell whether each chunk begins where the one before it ends."""
    end = 0
    for chunk in chunks:
        if chunk.offset != end:
            return False
        end += len(chunk.data)
    return True


@SETTINGS
@given(strategies.upload_chunks(), strategies.invalid_upload_chunks())
def test_upload_chunks(valid: list[strategies.Chunk], invalid: list[strategies.Chunk]) -> None:
    """Valid chunks make one whole, invalid ones do not."""
    assert is_whole(valid)
    assert not is_whole(invalid)


@pytest.mark.parametrize(
    "strategy, smallest",
    [
        (strategies.owners(), "ana"),
        (strategies.external_ids(), None),
        (strategies.session_ids(), "0" * 34),
        (strategies.data(), {}),
        (strategies.file_names(), "a"),
    ],
)
def test_what_does_not_matter_shrinks_to_something_plain(strategy: st.SearchStrategy[Any], smallest: Any) -> None:
    """A failure that has nothing to do with the value shows a plain one."""
    assert find(strategy, lambda _: True) == smallest
