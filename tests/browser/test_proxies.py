"""The page behind nginx: below a path of it, and with what nginx may be told wrongly."""

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.gateway import ROOT, Gateway
from tests.browser.helpers import answer, ask, column, expect_end, open_page
from tests.browser.test_access import GatewayKeys, expect_sign_in, sign_in
from tests.browser.thinker import thinking
from tests.browser.watch import Watch
from tests.conftest import KeepLog
from tests.deploy.test_nginx import AROUND, as_root
from tests.support.ports import free_ports

pytestmark = [pytest.mark.needs_chromium, pytest.mark.needs_nginx]

# What docs/OPERATIONS.md says of a path: lines of the example, and what stands in their place.
BELOW_A_PATH = {
    "location / {": "location /ai/ {",
    "proxy_pass http://sidestream;": "proxy_pass http://sidestream/;",
    "location = /metrics {": "location = /ai/metrics {",
}
HOST = "proxy_set_header Host $http_host;"
MISTAKES = {
    "path": BELOW_A_PATH,
    # The port is lost, or the whole name: then nginx puts its own for the server there.
    "port": {HOST: "proxy_set_header Host $host;"},
    "host": {HOST: ""},
    "upgrade": {"proxy_set_header Upgrade $http_upgrade;": ""},
}


@dataclass(frozen=True)
class Proxied:
    """A gateway, and the address of each site of nginx before it."""

    gateway: Gateway
    sites: dict[str, str]


def until_listening(process: subprocess.Popen[bytes], port: int) -> None:
    while process.poll() is None:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
    raise RuntimeError("nginx ended")


@contextmanager
def behind_nginx(gateway: Gateway, place: Path) -> Iterator[Proxied]:
    """Run nginx with a site for each mistake, by the example without encryption."""
    example = (ROOT / "docs" / "deploy" / "nginx.conf").read_text()
    around, site = example.split("server {\n    listen", maxsplit=1)
    site = "server {\n    listen" + site
    ports = range(*free_ports(len(MISTAKES)))
    sites = dict(zip(MISTAKES, [*ports, ports.stop], strict=True))
    written = around.replace("127.0.0.1:8000", f"127.0.0.1:{gateway.port}")
    for (name, changes), port in zip(MISTAKES.items(), sites.values(), strict=True):
        own = "\n".join(line for line in site.splitlines() if "ssl_" not in line)
        for old, new in {"listen 443 ssl;": f"listen 127.0.0.1:{port};", **changes}.items():
            assert own.count(old) == 1, (name, old)
            own = own.replace(old, new)
        written += own + "\n"
    (place / "site.conf").write_text(written)
    (place / "nginx.conf").write_text(AROUND.format(place=place, user=as_root()))
    command = ["nginx", "-p", str(place), "-c", str(place / "nginx.conf")]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    process = subprocess.Popen(command)
    try:
        until_listening(process, ports.stop)
        yield Proxied(gateway, {name: f"http://localhost:{port}/" for name, port in sites.items()})
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture
def proxied(tmp_path: Path, keep_log: KeepLog) -> Iterator[Proxied]:
    keep_log("nginx", tmp_path / "error.log")
    with (
        thinking(tmp_path, "--text=Blue, as the sea is.") as (gateway, _),
        behind_nginx(gateway, tmp_path) as both,
    ):
        keep_log("the server", lambda: gateway.log)
        yield both


def test_below_a_path_all_of_it_works(page: Page, proxied: Proxied, watch: Watch) -> None:
    docs = (ROOT / "docs" / "OPERATIONS.md").read_text()
    for line in BELOW_A_PATH.values():
        assert f"`{line}`" in docs
    url = proxied.sites["path"] + "ai/"
    key = GatewayKeys(proxied.gateway).add("ann")
    page.goto(url)
    expect_sign_in(page)
    assert page.url == f"{url}sign-in"
    sign_in(page, "sidestream_wrong")
    expect(page.get_by_role("alert")).to_contain_text("This key is wrong")
    sign_in(page, key)
    expect(page).to_have_title("Sidestream")
    assert page.url == url
    (cookie,) = page.context.cookies()
    assert cookie["path"] == "/ai", "other sites of this host do not get it"

    open_page(page, url)
    page.locator("prompt-composer input[type=file]").set_input_files(
        {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"The sea."}
    )
    expect(page.locator("prompt-composer").get_by_text("notes.txt", exact=True)).to_be_visible()
    ask(page, "Which colour?")
    expect_end(column(page, "Thinker"))
    expect(answer(column(page, "Thinker"))).to_have_text("Blue, as the sea is.")
    page.reload()
    expect(answer(column(page, "Thinker"))).to_have_text("Blue, as the sea is.")
    with page.expect_download() as download:
        page.locator("turn-strip").get_by_role("link", name="notes.txt").click()
    assert download.value.path().read_bytes() == b"The sea."

    page.get_by_role("tab", name="Chats").click()
    page.locator("chat-list li").get_by_role("button").last.click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="Export as a page").click()
    assert "Blue, as the sea is." in download.value.path().read_text()

    page.goto(f"{url}docs")
    link = page.get_by_role("link", name="openapi.json", exact=True)
    described = page.request.get(str(link.evaluate("(link) => link.href"))).json()
    assert described["servers"] == [{"url": "./"}]
    page.get_by_role("link", name="The chat page").click()
    expect(page).to_have_title("Which colour? · Sidestream")
    page.get_by_role("button", name="Sign out").click()
    expect_sign_in(page)
    assert {urlsplit(one).path.split("/")[1] for one in watch.requests} == {"ai"}


def test_faults_of_a_misconfigured_proxy_are_explained_on_the_page(
    page: Page, proxied: Proxied
) -> None:
    line = "proxy_set_header Host $http_host;"
    page.goto(proxied.sites["host"])
    expect(page.locator("body")).to_contain_text(line)
    expect(page.locator("body")).to_contain_text("'sidestream'")

    page.goto(proxied.sites["port"])
    expect(page.get_by_text(line)).to_be_visible()

    page.goto(proxied.sites["upgrade"])
    expect(page.get_by_text("a proxy has to pass on “Upgrade”")).to_be_visible()

    page.route("**/main.js", lambda route: route.abort())
    page.goto(proxied.gateway.url)
    expect(page.get_by_text("script does not run.")).to_be_visible()
    page.unroute("**/main.js")
    open_page(page, proxied.gateway.url)
    expect(page.get_by_text("script does not run.")).to_have_count(0)
