"""Access in a browser: the sign-in, and pages of other origins."""

import http.server
import json
import threading
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from server.access.exposure import key_file_of
from server.access.key import Key, digest_of, make_secret
from server.access.key_file import KeyFile
from server.settings.loading import load
from tests.browser.gateway import Gateway
from tests.browser.helpers import open_page
from tests.browser.watch import Watch

pytestmark = pytest.mark.needs_chromium

# Every way a page has to reach a server; each returns what it got hold of.
ATTACK = """async (target) => {
  const got = {};
  const json = { 'Content-Type': 'application/json' };
  const parameters = { max_new_tokens: 2 };
  const body = JSON.stringify({ model: 'small', inputs: 'x', parameters });
  const asks = {
    read: ['models', {}],
    readWithCookies: ['models', { credentials: 'include' }],
    readBlindly: ['models', { mode: 'no-cors', credentials: 'include' }],
    logs: ['models/small/logs', { mode: 'no-cors' }],
    start: ['models/small/start', { method: 'POST', mode: 'no-cors' }],
    ask: ['generate', { method: 'POST', headers: json, body }],
    askBlindly: ['generate', { method: 'POST', mode: 'no-cors', body }],
    ticket: ['ws-ticket', { method: 'POST', credentials: 'include' }],
    signOut: ['sign-out', { method: 'POST', mode: 'no-cors', credentials: 'include' }],
  };
  for (const [name, [path, options]] of Object.entries(asks)) {
    try {
      const response = await fetch(target + path, options);
      got[name] = await response.text() || response.type;
    } catch { got[name] = null; }
  }
  got.socket = await new Promise((resolve) => {
    const socket = new WebSocket(target.replace('http', 'ws') + 'ws');
    socket.addEventListener('open', () => resolve('open'));
    socket.addEventListener('close', () => resolve(null));
  });
  const load = (element) => new Promise((resolve) => {
    element.addEventListener('load', () => resolve(element.contentDocument ?? 'loaded'));
    element.addEventListener('error', () => resolve(null));
    document.body.append(element);
  });
  got.picture = await load(Object.assign(new Image(), { src: target + 'favicon.ico' }));
  const script = document.createElement('script');
  got.script = await load(Object.assign(script, { src: target + 'models' }));
  return got;
}"""


class GatewayKeys:
    """The keys of a gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self.file: KeyFile = key_file_of(load(gateway._settings, {}))

    def add(self, name: str) -> str:
        secret = make_secret()
        key = Key(name, digest_of(secret), "operator", None, time.time(), None)
        self.file.change(lambda keys: (*keys, key))
        return secret

    def remove(self, name: str) -> None:
        self.file.change(lambda keys: tuple(key for key in keys if key.name != name))


def sign_in(page: Page, key: str) -> None:
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Sign in").click()


def enter(page: Page, gateway: Gateway, key: str) -> None:
    """Sign in, and have the page connected."""
    sign_in(page, key)
    expect(page).to_have_title("Sidestream")
    open_page(page, gateway.url)


def expect_sign_in(page: Page) -> None:
    expect(page).to_have_title("Sign in to Sidestream")


def test_a_page_leads_to_the_sign_in_and_back(
    page: Page, own_gateway: Gateway, watch: Watch
) -> None:
    keys_of_gateway = GatewayKeys(own_gateway)
    open_page(page, own_gateway.url)
    expect(page.get_by_role("button", name="Sign out")).to_have_count(0)

    keys = {"ann": keys_of_gateway.add("ann"), "bob": keys_of_gateway.add("bob")}
    expect_sign_in(page)
    expect(page.get_by_label("Key")).to_be_focused()
    sign_in(page, "sidestream_wrong")
    expect(page.get_by_role("alert")).to_contain_text("This key is wrong")
    enter(page, own_gateway, keys["ann"])
    assert page.evaluate("document.cookie") == "", "no script can read it"

    page.get_by_role("button", name="Sign out").click()
    expect_sign_in(page)
    page.goto(own_gateway.url)
    expect_sign_in(page)

    enter(page, own_gateway, keys["ann"])
    keys_of_gateway.remove("ann")
    expect_sign_in(page)
    sign_in(page, keys["ann"])
    expect(page.get_by_role("alert")).to_be_visible()
    assert not [complaint for complaint in watch.complaints if "Content Security" in complaint]


@pytest.mark.parametrize("fragment", ["#run=r_1a&show=results", "#chat=c_1", "#//evil.example/"])
def test_signing_in_leads_to_what_the_address_asked_for(
    page: Page, own_gateway: Gateway, watch: Watch, fragment: str
) -> None:
    key = GatewayKeys(own_gateway).add("ann")
    page.goto(f"{own_gateway.url}{fragment}")
    expect_sign_in(page)
    # Also behind a wrong key.
    sign_in(page, "sidestream_wrong")
    expect(page.get_by_role("alert")).to_contain_text("This key is wrong")
    with page.expect_navigation(url=f"{own_gateway.url}{fragment}"):
        sign_in(page, key)
    expect(page).to_have_title("Sidestream")
    assert not [complaint for complaint in watch.complaints if "Content Security" in complaint]


def test_who_signs_in_again_sees_the_run_that_was_shown(page: Page, own_gateway: Gateway) -> None:
    keys = GatewayKeys(own_gateway)
    address = f"{own_gateway.url}#runs&show=leaderboard"
    open_page(page, own_gateway.url)
    page.goto(address)
    board = page.get_by_role("heading", name="Leaderboard")
    expect(board).to_be_visible()
    # A key is made: from now on one is needed.
    key = keys.add("ann")
    expect_sign_in(page)
    sign_in(page, key)
    expect(board).to_be_visible()
    expect(page).to_have_url(address)


def test_a_server_that_restarts_asks_to_sign_in_again(page: Page, own_gateway: Gateway) -> None:
    """The upgrade is refused, and browsers hide the status from the page."""
    key = GatewayKeys(own_gateway).add("ann")
    page.goto(own_gateway.url)
    expect_sign_in(page)
    enter(page, own_gateway, key)
    own_gateway.stop()
    own_gateway.start()
    expect_sign_in(page)


@pytest.fixture
def foreign_port() -> Iterator[int]:
    """Serve an empty page somewhere else on this machine."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>Elsewhere</title><body></body>")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=[0.05])
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("is_signed_in", [False, True], ids=["no keys", "signed in"])
def test_a_page_on_a_foreign_origin_reaches_nothing(
    context: BrowserContext,
    own_gateway: Gateway,
    foreign_port: int,
    is_signed_in: bool,
) -> None:
    page = context.new_page()
    if is_signed_in:
        key = GatewayKeys(own_gateway).add("ann")
        page.goto(own_gateway.url)
        expect_sign_in(page)
        enter(page, own_gateway, key)
    else:
        open_page(page, own_gateway.url)
    before = states(page)

    for name in ("127.0.0.1", "localhost"):  # the same site, and another
        foreign = context.new_page()
        foreign.goto(f"http://{name}:{foreign_port}/")
        got = foreign.evaluate(ATTACK, own_gateway.url)

        assert {way: what for way, what in got.items() if what is not None} == {}, name
        frame = foreign.evaluate_handle(
            """(target) => new Promise((resolve) => {
              const frame = Object.assign(document.createElement('iframe'), { src: target });
              frame.addEventListener('load', () => resolve(frame));
              document.body.append(frame);
            })""",
            own_gateway.url,
        )
        shown = frame.as_element().content_frame()  # type: ignore[union-attr]
        assert shown is not None
        assert "Sidestream" not in shown.content(), name
    assert states(page) == before, "nothing was started, and the user is still signed in"
    if not is_signed_in:
        # The same from the gateway's own page, so that what fails above fails for the origin.
        allowed = page.evaluate(ATTACK, own_gateway.url)
        assert [way for way, what in allowed.items() if what is None] == ["script"]


def states(page: Page) -> dict[str, str]:
    """Return the states of the gateway's models, requested by its own page."""
    models = json.loads(page.evaluate("async () => (await fetch('/models')).text()"))
    return {model["id"]: model["state"] for model in models}
