"""What a real browser makes of it: tabs, uploads, the back button, and what scripts can get at."""

from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import url_to_be
from selenium.webdriver.support.wait import WebDriverWait

from tests.adapters.served.browsers import ChromeDriver
from tests.adapters.served.fronts import Front
from tests.adapters.served.gates import SECONDS, Gate
from tests.adapters.served.visitors import COOKIE
from tests.conftest import installed

pytestmark = pytest.mark.processes

TABS = 3

SEND = "return fetch(arguments[0], {method: arguments[1]}).then(answer => answer.text())"
# The promise stays in the page: the tab goes on by itself while the test turns to the next one.
BEGIN_UPLOAD = """
    const [content, gate] = arguments;
    const send = (path, body) => fetch(path, {method: "POST", body: body});
    window.uploaded = send("/tabs").then(answer => answer.json()).then(opened => {
        const form = new FormData();
        form.append("file", new Blob([content]), "same.txt");
        return send(`/tabs/${opened.tab}/files?gate=${gate}`, form)
            .then(answer => [opened.tab, answer.status]);
    });
"""
WHAT_SCRIPTS_SEE = """
    return [document.cookie, JSON.stringify(localStorage), JSON.stringify(sessionStorage), location.href,
            document.documentElement.outerHTML, JSON.stringify(performance.getEntries())].join("\\n")
"""


@pytest.fixture(scope="session")
def driver() -> Iterator[ChromeDriver]:
    """The driver of all browsers."""
    with installed(ChromeDriver) as driver:
        yield driver


@pytest.fixture
def browser(driver: ChromeDriver) -> Iterator[webdriver.Remote]:
    """A browser with nothing in it."""
    with driver.browser() as browser:
        yield browser


def shown_owner(browser: webdriver.Remote) -> str:
    """Give who is logged in, as the page says."""
    return browser.find_element(By.ID, "owner").text


def open_tabs(browser: webdriver.Remote, url: str) -> list[str]:
    """Open the page in tabs and give their names."""
    while len(browser.window_handles) < TABS:
        browser.switch_to.new_window("tab")
    for tab in browser.window_handles:
        browser.switch_to.window(tab)
        browser.get(url)
    return browser.window_handles


def upload_in_all(browser: webdriver.Remote, tabs: list[str]) -> dict[str, str]:
    """Upload from all tabs at once, and give the address of what each has stored."""
    with Gate() as gate:
        for tab in tabs:
            browser.switch_to.window(tab)
            browser.execute_script(BEGIN_UPLOAD, f"of tab {tab}", str(gate))
        gate.wait_for(TABS)
        gate.open()
        stored = {}
        for tab in tabs:
            browser.switch_to.window(tab)
            upload, status = browser.execute_script("return window.uploaded")
            assert status == 200
            stored[tab] = f"/tabs/{upload}/files/same.txt"
    return stored


def test_tabs_of_one_browser(browser: webdriver.Remote, front_on_sqlite: Front, owner: str) -> None:
    """Three tabs upload at once, each into a session of its own; one logs out, and with it the others, for good."""
    url = front_on_sqlite.server.url
    browser.get(url)
    browser.execute_script(SEND, f"/login?owner={owner}", "POST")
    tabs = open_tabs(browser, url)
    stored = upload_in_all(browser, tabs)
    for tab in tabs:
        browser.switch_to.window(tab)
        assert shown_owner(browser) == owner
        assert browser.execute_script(SEND, stored[tab], "GET") == f"of tab {tab}"
        assert_token_is_out_of_reach(browser)
    browser.find_element(By.ID, "logout").click()
    WebDriverWait(browser, SECONDS).until(url_to_be(f"{url}/logout"))
    assert browser.get_cookies() == []
    browser.back()
    assert browser.current_url == f"{url}/"
    assert shown_owner(browser) == "None"
    for tab in tabs[:-1]:
        browser.switch_to.window(tab)
        assert stored[tab] not in browser.execute_script(SEND, "/me", "GET")
        assert "of tab" not in browser.execute_script(SEND, stored[tab], "GET")
        browser.refresh()
        assert shown_owner(browser) == "None"


def assert_token_is_out_of_reach(browser: webdriver.Remote) -> None:
    """See that the browser has the token, in a cookie for the server alone, and that no script can tell it."""
    (cookie,) = browser.get_cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (COOKIE, True, True, "Lax")
    seen = browser.execute_script(WHAT_SCRIPTS_SEE)
    # The secret is at its end; a look for that finds it whatever stands before it.
    assert cookie["value"][-40:] not in seen
