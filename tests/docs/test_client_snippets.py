"""What docs/CLIENTS.md and the quick start show, run as it stands against a real gateway.

Only the address is another; the models have the names of the catalogue that comes with the server.
"""

import asyncio
import re
import shutil
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import async_playwright

from server.doctor.checks import find_chromium
from tests.conftest import StartFake
from tests.wire.gateway import Running, gateway

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "127.0.0.1:8000"
WORDS = "Seven words that everybody can recognise, twice."
CEILING_SECONDS = 60.0
# A page that the test itself hands out comes from no network, and so may reach none.
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-features=LocalNetworkAccessChecks",
]


@pytest.fixture
async def running(fake_tgi: StartFake) -> AsyncIterator[Running]:
    fakes = {name: await fake_tgi(text=WORDS) for name in ("smollm2-135m", "smollm2-135m-brief")}
    async with gateway({name: fake.url for name, fake in fakes.items()}) as running:
        yield running


def snippet(page: str, heading: str, language: str, running: Running, number: int = 0) -> str:
    """Return a block of a language under a heading, with the gateway's address in it."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    blocks = re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert len(blocks) > number, f"no {language} under {heading!r}"
    block: str = blocks[number]
    return block.replace(ADDRESS, f"127.0.0.1:{running.port}")


async def run(*words: str | Path, directory: Path = ROOT) -> str:
    """Run a program that says nothing wrong; return what it says."""
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(CEILING_SECONDS):
            output, complaints = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, complaints.decode()) == (0, ""), output.decode()
    return output.decode()


async def test_quick_start(running: Running) -> None:
    program = snippet("QUICKSTART.md", "Speak to it from a program", "python", running)
    said = await run(sys.executable, "-c", program)
    assert said == f"{WORDS}\nIn brief: {WORDS}\n"


async def test_python(running: Running, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "server/client", tmp_path / "server/client")
    said = await run(
        sys.executable, "-c", snippet("CLIENTS.md", "Python", "python", running), directory=tmp_path
    )
    assert said.startswith(f"smollm2-135m smollm2-135m-brief\n{WORDS}\n {WORDS} stop ")
    assert said.endswith("\nunknown_model\n")


@pytest.mark.needs_node
async def test_node(running: Running, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "static/js/client", tmp_path / "client")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    (tmp_path / "main.js").write_text(snippet("CLIENTS.md", "Node", "js", running))
    said = await run(str(shutil.which("node")), "main.js", directory=tmp_path)
    for model in ("smollm2-135m", "smollm2-135m-brief"):
        assert f"\n{model} ended: stop\n" in said
    letters = sorted(said.replace("\n", "").replace(" ", ""))
    ends = "smollm2-135mended:stopsmollm2-135m-briefended:stop"
    assert letters == sorted((WORDS * 2 + ends).replace(" ", "")), "both are whole, mixed"


@pytest.fixture
async def run_of_two(fake_tgi: StartFake, tmp_path: Path) -> AsyncIterator[tuple[Running, str]]:
    """Run a gateway with a run of two prompts, which is over; return both."""
    fake = await fake_tgi(text=WORDS)
    runs = {"enabled": True, "file": str(tmp_path / "runs")}
    async with gateway({"m": fake.url}, runs=runs) as running, aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{running.port}"
        asked = {"name": "Capitals", "prompts": ["France?", "Peru?"]}
        async with http.post(f"{url}/prompt-sets", json=asked) as reply:
            name = (await reply.json())["id"]
        given = {"prompt_set": name, "targets": [{"model": "m"}]}
        async with http.post(f"{url}/runs", json=given) as reply:
            begun: str = (await reply.json())["id"]
        async with http.get(f"{url}/runs/{begun}/events") as reply:
            await reply.read()
        yield running, begun


RUN = "r_0123456789abcdef"


async def test_python_follows_runs(run_of_two: tuple[Running, str]) -> None:
    running, begun = run_of_two
    block = textwrap.indent(snippet("CLIENTS.md", "Python", "python", running, 1), "    ")
    program = (
        "import asyncio\nfrom server.client import connect\n"
        f"async def main():\n{block.replace(RUN, begun)}\nasyncio.run(main())"
    )
    assert await run(sys.executable, "-c", program) == "Capitals: 2 of 2 answers\n"


@pytest.mark.needs_node
async def test_node_follows_runs(run_of_two: tuple[Running, str], tmp_path: Path) -> None:
    running, begun = run_of_two
    shutil.copytree(ROOT / "static/js/client", tmp_path / "client")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    connected = snippet("CLIENTS.md", "Node", "js", running).partition("const answers")[0]
    block = snippet("CLIENTS.md", "Node", "js", running, 1).replace(RUN, begun)
    (tmp_path / "main.js").write_text(f"{connected}{block}client.close();")
    said = await run(str(shutil.which("node")), "main.js", directory=tmp_path)
    assert said == "Capitals: 2 of 2 answers\n"


async def test_openais(running: Running) -> None:
    said = await run(sys.executable, "-c", snippet("CLIENTS.md", "OpenAI's", "python", running))
    assert said.startswith(f"smollm2-135m smollm2-135m-brief\n{WORDS}\n ")
    assert said.endswith(" tokens\n")


async def test_terminal(running: Running) -> None:
    command = snippet("CLIENTS.md", "Terminal", "sh", running).split()
    line = snippet("CLIENTS.md", "Terminal", "json", running)
    assert command[0] == "python3"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *command[1:]),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    said = b""
    async with asyncio.timeout(CEILING_SECONDS):
        process.stdin.write(line.encode())
        while b'"type":"end"' not in said:
            more = await process.stdout.read(65536)
            assert more, said
            said += more
        process.stdin.close()
        await process.wait()
        await process.stdout.read()
    assert b'"finish_reason":"stop"' in said


async def test_conformance(running: Running) -> None:
    command = snippet("CLIENTS.md", "Another one", "sh", running).split()
    assert command[0] == "python3"
    assert "FAIL" not in await run(sys.executable, *command[1:])


# A ceiling for what is waited for on a machine that may be busy with other things.
CEILING_MS = 90_000


@pytest.mark.needs_chromium
@pytest.mark.parametrize("where", ["page", "worker"])
async def test_browser(running: Running, where: str) -> None:
    module = snippet("CLIENTS.md", "Browser", "js", running)
    page_module = module
    worker = "<none>"
    if where == "worker":
        worker = module.replace("document.body.append(text)", "postMessage(text)")
        worker = worker.replace("document.title =", "self.title =")
        page_module = (
            "new Worker('worker.js', { type: 'module' })"
            ".onmessage = ({ data }) => document.body.append(data);"
        )
    files = {
        "/demo/": ("text/html", "<!doctype html><body><script type=module src=main.js></script>"),
        "/demo/main.js": ("text/javascript", page_module),
        "/demo/worker.js": ("text/javascript", worker),
    }
    for source in (ROOT / "static/js/client").glob("*.js"):
        files[f"/demo/client/{source.name}"] = ("text/javascript", source.read_text("utf-8"))
    address = f"http://127.0.0.1:{running.port}"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=find_chromium(), args=CHROMIUM_FLAGS
        )
        context = await browser.new_context()
        for path, (kind, body) in files.items():
            await context.route(
                address + path,
                lambda route, _, kind=kind, body=body: route.fulfill(content_type=kind, body=body),
            )
        page = await context.new_page()
        page.set_default_timeout(CEILING_MS)
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(f"{address}/demo/")
        await page.wait_for_function(f"document.body.textContent.includes({WORDS!r})")
        if where == "page":
            await page.wait_for_function("document.title === 'stop'")
        assert complaints == []
        await browser.close()
