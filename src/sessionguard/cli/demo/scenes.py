"""The two scenes of the demonstration: five users at once, and three tabs of one browser."""

import secrets
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from attrs import frozen

from sessionguard.cli.demo.browser import Browser
from sessionguard.cli.demo.datasets import SHAPEFILE_PARTS, new_dataset, read_wards
from sessionguard.cli.demo.findings import Finding, Phase
from sessionguard.cli.demo.markers import new_marker
from sessionguard.cli.demo.visitor import Visitor

USERS = ("benue", "kebbi", "ebonyi", "nasarawa", "plateau")
TAB_STATES = ("adamawa", "borno", "gombe")
START_SECONDS = 10.0


class Progress(Protocol):
    """Is told what happens while it happens."""

    def __call__(self, message: str) -> None: ...


Check = Callable[[], None]
"""Raises if the end was asked for."""


@frozen
class Scene:
    """Who takes part, given where the app is and the id that every browser remembers."""

    title: str
    cast: Callable[[str, str], list[Visitor]]


def play(scene: Scene, base_url: str, rounds: int, progress: Progress, check: Check) -> Phase:
    """Play one scene several times."""
    # The browsers of the incident all remembered one id, so these do as well.
    remembered_id = f"session_{secrets.token_hex(8)}"
    played = []
    for number in range(1, rounds + 1):
        findings = _play_once(scene.cast(base_url, remembered_id), check)
        bled_count = sum(bool(finding.foreign) for finding in findings)
        progress(
            f"{scene.title}, round {number} of {rounds}: uploaded, analysed and downloaded at once; "
            f"{bled_count} of {len(findings)} were sent foreign data"
        )
        played.append(findings)
    return Phase(scene.title, tuple(played))


def _five_users(base_url: str, remembered_id: str) -> list[Visitor]:
    return [_visitor(user, user, Browser(base_url, {"session_id": remembered_id}), user) for user in USERS]


def _three_tabs(base_url: str, remembered_id: str) -> list[Visitor]:
    browser = Browser(base_url, {"session_id": remembered_id})
    return [
        _visitor(f"tab {number} ({state})", USERS[0], browser, state)
        for number, state in enumerate(TAB_STATES, start=1)
    ]


SCENES = (Scene("five users", _five_users), Scene("three tabs of one browser", _three_tabs))


def _visitor(label: str, user: str, browser: Browser, state: str) -> Visitor:
    return Visitor(label, user, browser, new_dataset(state, new_marker(state)))


def _play_once(visitors: Sequence[Visitor], check: Check) -> tuple[Finding, ...]:
    # One login a browser, as people do; its tabs share the cookies.
    one_a_browser = list({id(visitor.browser): visitor for visitor in visitors}.values())
    for cast, step in ((one_a_browser, Visitor.log_in), (visitors, Visitor.upload), (visitors, Visitor.read_back)):
        check()
        _together(cast, step)
    check()
    _borrow_in_turn(visitors)
    return tuple(_finding(visitor) for visitor in visitors)


def _together(visitors: Sequence[Visitor], step: Callable[[Visitor], None]) -> None:
    """Let all of them take one step at the same instant, and wait for the last."""
    start = threading.Barrier(len(visitors))

    def take(visitor: Visitor) -> None:
        start.wait(START_SECONDS)
        visitor.attempt(step)

    with ThreadPoolExecutor(len(visitors)) as pool:
        list(pool.map(take, visitors))


def _borrow_in_turn(visitors: Sequence[Visitor]) -> None:
    """Let each user try the id that the next one was given, if that is another user with another id."""
    for visitor, neighbour in zip(visitors, [*visitors[1:], visitors[0]], strict=True):
        session_id = neighbour.session_id
        if session_id not in (None, visitor.session_id) and neighbour.user != visitor.user:
            visitor.attempt(_borrowing(str(session_id)))


def _borrowing(session_id: str) -> Callable[[Visitor], None]:
    return lambda visitor: visitor.borrow(session_id)


def _finding(visitor: Visitor) -> Finding:
    sent = visitor.dataset.files
    received = visitor.received
    damage = None
    if visitor.problem is None:
        try:
            wards = read_wards({part: visitor.downloads[part] for part in SHAPEFILE_PARTS if part in visitor.downloads})
            received = received | wards.markers
        except ValueError as error:
            damage = str(error)
    return Finding(
        user=visitor.label,
        marker=visitor.dataset.marker,
        session_id=visitor.session_id,
        upload_worker=visitor.upload_worker,
        workers=tuple(visitor.workers),
        told=visitor.told,
        received=frozenset(received),
        is_intact=all(visitor.downloads.get(name) == content for name, content in sent.items()),
        damage=damage,
        was_lent=visitor.was_lent,
        problem=visitor.problem,
    )
