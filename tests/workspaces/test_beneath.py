"""Opening below a directory: what each way refuses, and when the walk takes over from the kernel."""

import ctypes
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest

from sessionguard.workspaces.local import beneath

READ = os.O_RDONLY


@pytest.fixture
def here(tmp_path: Path) -> Iterator[int]:
    """A directory with "a/b/c/file" in it, and a file beside it."""
    (tmp_path / "here" / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / "here" / "a" / "b" / "c" / "file").write_text("inside")
    (tmp_path / "beside").write_text("outside")
    descriptor = os.open(tmp_path / "here", os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def opens(here: int, path: str) -> bytes:
    """Read what is opened."""
    descriptor = beneath.open_beneath(path, here, READ)
    try:
        return os.read(descriptor, 100)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("path", ["../beside", "a/../../beside", "a/b/../../../beside", "..", "{above}/beside"])
def test_t50_a_path_that_leads_out_is_refused_by_itself(way: str, here: int, tmp_path: Path, path: str) -> None:
    """The lowest layer alone, whatever came through the checks of names before it."""
    with pytest.raises(OSError, match="cross-device"):
        opens(here, path.format(above=tmp_path))


@pytest.mark.parametrize("link", ["a/link", "link"])
def test_t52_a_link_is_not_followed_although_it_stays_inside(way: str, here: int, tmp_path: Path, link: str) -> None:
    """Neither as the last part of a path nor before it: what it leads to now may be another thing later."""
    (tmp_path / "here" / link).symlink_to(tmp_path / "here" / "a" / "b" if link == "link" else "b")
    for path in (f"{link}/c/file", link):
        with pytest.raises(OSError) as caught:  # noqa: PT011
            opens(here, path)
        assert caught.value.errno in (errno.ELOOP, errno.ENOTDIR, errno.EXDEV)


def test_nothing_is_left_open_or_inherited(way: str, here: int, tmp_path: Path) -> None:
    """Whether it works, or ends at a missing part, a file in the way, or a link."""
    (tmp_path / "here" / "a" / "b" / "link").symlink_to("c")
    before = os.listdir("/proc/self/fd")
    assert opens(here, "a/b/c/file") == b"inside"
    for path in ("a/b/c/missing", "a/missing/c", "a/b/c/file/x", "a/b/link/file"):
        with pytest.raises(OSError, match=r"No such|Not a|symbolic|levels"):
            opens(here, path)
    with mock.patch.object(beneath, "mount_of", side_effect=[1, 1, 1, OSError(5, "Input/output error")]):
        if way == "walk":
            with pytest.raises(OSError, match="Input/output"):
                opens(here, "a/b/c/file")
    assert os.listdir("/proc/self/fd") == before
    descriptor = beneath.open_beneath("a/b/c/file", here, READ)
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def refusing(number: int) -> beneath.Call:
    """Give a call that always fails."""

    def call(parent: int, path: str, flags: int, mode: int) -> int:
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM])
def test_a_filter_put_in_force_later_leads_to_the_walk(here: int, number: int) -> None:
    """Where the call worked once and is forbidden now."""
    with mock.patch.object(beneath, "kernel_call", return_value=refusing(number)):
        assert opens(here, "a/b/c/file") == b"inside"


def test_what_else_the_kernel_says_is_the_answer(here: int) -> None:
    """No second try by other means of what was refused."""
    with (
        mock.patch.object(beneath, "kernel_call", return_value=refusing(errno.EACCES)),
        pytest.raises(PermissionError),
    ):
        opens(here, "a/b/c/file")


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM, errno.EINVAL, errno.E2BIG, errno.EACCES])
def test_a_kernel_without_the_call_is_noticed(number: int) -> None:
    """Missing, forbidden, or older than what is asked of it."""
    with mock.patch.object(beneath, "_openat2", return_value=refusing(number)):
        assert beneath.kernel_call.__wrapped__() is None


def test_a_process_out_of_descriptors_asks_again_later() -> None:
    """An error that says nothing of the kernel is told, and not taken for its answer for ever."""
    before = os.listdir("/proc/self/fd")
    with (
        mock.patch.object(beneath, "_openat2", return_value=refusing(errno.EMFILE)),
        pytest.raises(OSError, match="Too many open files"),
    ):
        beneath.kernel_call.__wrapped__()
    assert beneath.kernel_call.__wrapped__() is not None or beneath.kernel_call() is None
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("machine, platform", [("mips64", "linux"), ("x86_64", "darwin")])
def test_an_unknown_machine_has_no_such_call(machine: str, platform: str) -> None:
    """A number of another architecture would be another call."""
    with (
        mock.patch.object(os, "uname", return_value=SimpleNamespace(machine=machine)),
        mock.patch.object(sys, "platform", platform),
    ):
        assert beneath._openat2() is None


@pytest.mark.parametrize("machine, number", [("x86_64", 437), ("aarch64", 437), ("alpha", 547)])
def test_an_interrupted_call_is_made_again(machine: str, number: int) -> None:
    """EINTR, and EAGAIN of a race with a renaming above, up to a limit; another error is told at once."""
    answers = [errno.EINTR, errno.EAGAIN, 0, errno.ENOENT, *[errno.EAGAIN] * 1000]
    asked = []

    class Syscall:
        argtypes: tuple[object, ...] = ()
        restype: object = None

        def __call__(self, given: int, parent: int, name: bytes, how: object, size: int) -> int:
            assert self.restype is ctypes.c_long
            assert len(self.argtypes) == 5
            asked.append((given, parent, name, size))
            problem = answers.pop(0)
            ctypes.set_errno(problem)
            return -1 if problem else 0

    with (
        mock.patch.object(os, "uname", return_value=SimpleNamespace(machine=machine)),
        mock.patch.object(ctypes, "CDLL", return_value=SimpleNamespace(syscall=Syscall())),
    ):
        call = beneath._openat2()
    assert call is not None
    assert call(7, "a", READ, 0) == 0
    assert asked == [(number, 7, b"a", 24)] * 3
    with pytest.raises(FileNotFoundError):
        call(7, "a", READ, 0)
    with pytest.raises(BlockingIOError):
        call(7, "a", READ, 0)
    assert 10 < len(asked) < 1000


def test_both_ways_are_seen_by_whoever_watches_this_program(way: str, here: int) -> None:
    """An audit hook hears of what is opened, as of what `open` opens."""
    with mock.patch.object(sys, "audit", wraps=sys.audit) as heard:
        opens(here, "a/b/c/file")
    assert (("open", "a/b/c/file", None) in [call.args[:3] for call in heard.call_args_list]) == (way == "openat2")
