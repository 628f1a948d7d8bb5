"""What the page loads: joined, without comments, compressed, and still the same program."""

import asyncio
import gzip
import json
import re
import shutil
from pathlib import Path

import pytest

from server.settings import AccessSettings, ConversationSettings, Settings
from server.web.files.content import takes_gzip
from server.web.files.folder import Folder
from server.web.files.joining import join_later, join_modules, join_sheets, later_modules
from server.web.files.stripping import strip_css, strip_javascript
from server.web.page import STATIC
from tests.conftest import StartFake
from tests.web.conftest import Start
from tests.web.gateway import Gateway, remote, running, server_settings

ROOT = Path(__file__).resolve().parents[2]

TRICKY = r"""
/* A comment with 'quotes', `ticks` and // slashes */
const pattern = /[/'"`]\/\/(?:a|b)/gi; // 'not a string'
const half = (10 / 2) / 1, third = half / 3 / 1;
const address = 'http://nowhere//at-all', other = "/* kept */";
const text = `a  // kept ${half / 2}
    /* kept */  and  its  spaces`;
const nested = `a ${half ? ` // ${{ a: 1 }.a}  ` : `b  `} /* kept */ ${text}  $ {`;
const two = half
  + +third - -third
const isIt = /=/.test('=') || !/\s/.test(text);
function early(value) {
  return /'/.test(value) // and no semicolon
}
let counter = 1
counter++
;[1, 2].forEach((one) => { counter += one })
class Thing {
  #inner = 1;
  static #count = 0;
  get #both() { return this.#inner + Thing.#count; }
  static has(one) { return #inner in one; }
  async *[Symbol.asyncIterator]() { yield this.#both; }
}
const nothing = half ?.5 : .25, at = { a: 1 }?.a ?? 2;
label: for (const one of [/* none */]) { if (one) continue label
  else break label }
"""


async def same_programs(*pairs: tuple[Path, Path]) -> list[object]:
    """Return where programs differ in more than comments and spaces."""
    words = [str(path) for pair in pairs for path in pair]
    process = await asyncio.create_subprocess_exec(
        str(shutil.which("node")),
        "same_program.js",
        *words,
        cwd=ROOT / "tests/js",
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    differences: list[object] = json.loads(output)
    return differences


@pytest.mark.needs_node
async def test_without_its_comments_every_module_is_still_the_same_program(tmp_path: Path) -> None:
    tricky = tmp_path / "tricky.js"
    tricky.write_text(TRICKY)
    written = [tricky, *STATIC.rglob("*.js")]
    pairs = [(path, tmp_path / f"{number}.js") for number, path in enumerate(written)]
    for source, target in pairs:
        target.write_text(strip_javascript(source.read_text()))
    assert await same_programs(*pairs) == []
    assert "kept" in pairs[0][1].read_text()
    assert "comment" not in pairs[0][1].read_text()


@pytest.mark.needs_node
async def test_a_program_that_differs_is_found(tmp_path: Path) -> None:
    one, other = tmp_path / "one.js", tmp_path / "other.js"
    one.write_text("const a = 1\n++b")
    other.write_text("const a = 1; ++c")
    assert await same_programs((one, other)) != []


def test_a_module_is_joined_with_what_it_needs_each_once_and_first() -> None:
    sources = {
        "js/main.js": "import { b } from './view/b.js';\nimport { c } from './c.js';\nb(c);",
        "js/view/b.js": "import {\n  C,\n  c,\n} from '../c.js';\nexport function b(x) { }",
        "js/c.js": "export const c = 1;\nexport class C {}",
        "js/unused.js": "export const never = 1;",
    }
    assert join_modules(sources, "js/main.js").split("\n") == [
        "const $c=(()=>{const c=1;class C{}",
        "return{c,C}})();",
        "const $view_b=(()=>{const{C,c,}=$c;function b(x){}",
        "return{b}})();",
        "const $main=(()=>{const{b}=$view_b;const{c}=$c;b(c);",
        "return{}})();",
    ]


def test_what_is_imported_later_has_from_the_page_what_both_need() -> None:
    sources = {
        "js/main.js": "import { b } from './b.js';\n/** @type {import('./c.js').C} */\n"
        "b(() => import('./view/late.js'));",
        "js/view/late.js": "import { c } from '../c.js';\nimport { d } from './d.js';\n"
        "export const late = c(d);",
        "js/view/d.js": "import { c } from '../c.js';\nexport const d = c();",
        "js/b.js": "import { c } from './c.js';\nexport const b = c;",
        "js/c.js": "export function c() {}",
    }
    assert later_modules(sources, "js/main.js") == {"js/view/late.js"}
    assert join_modules(sources, "js/main.js").split("\n") == [
        "const $c=(()=>{function c(){}",
        "return{c}})();",
        "const $b=(()=>{const{c}=$c;const b=c;",
        "return{b}})();",
        "const $main=(()=>{const{b}=$b;b(()=>import('./view/late.js'));",
        "return{}})();",
        "export{$c};",
    ]
    assert join_later(sources, "js/view/late.js", "js/main.js").split("\n") == [
        "import{$c}from'../main.js';",
        "const $view_d=(()=>{const{c}=$c;const d=c();",
        "return{d}})();",
        "const $view_late=(()=>{const{c}=$c;const{d}=$view_d;const late=c(d);",
        "return{late}})();",
        "export const{late}=$view_late;",
    ]
    beside = sources | {"js/main.js": "f(import('./late.js'));\nimport { b } from './b.js';"}
    beside["js/late.js"] = "import { c } from './c.js';\nexport const late = c;"
    assert join_later(beside, "js/late.js", "js/main.js").startswith("import{$c}from'./main.js';")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ("js/b.js", "export const b = import('./late.js');"),
        ("js/late.js", "export const late = import('./other.js');"),
        ("js/other.js", "import { d } from './d.js';\nexport const other = d;"),
    ],
)
def test_what_would_be_there_twice_or_not_at_all_is_refused(changed: str, code: str) -> None:
    sources = {
        "js/main.js": "import { b } from './b.js';\n"
        "b(() => import('./late.js'), () => import('./other.js'));",
        "js/b.js": "export function b() {}",
        "js/late.js": "import { d } from './d.js';\nexport const late = d;",
        "js/other.js": "export const other = 1;",
        "js/d.js": "export const d = 1;",
    }

    def join(sources: dict[str, str]) -> None:
        join_modules(sources, "js/main.js")
        join_later(sources, "js/late.js", "js/main.js")

    join(sources)
    with pytest.raises(ValueError, match="later"):
        join(sources | {changed: code})


@pytest.mark.parametrize(
    "line",
    [
        "import './b.js';",
        "import * as b from './b.js';",
        "import { b as c } from './b.js';",
        "export default class B {}",
        "export let b = 1;",
        "export { b };",
        "const here = import.meta.url;",
    ],
)
def test_what_cannot_be_joined_is_refused_by_name(line: str) -> None:
    with pytest.raises(ValueError, match=r"a\.js: this is not understood"):
        join_modules({"a.js": line, "b.js": ""}, "a.js")


def test_modules_that_import_each_other_are_refused() -> None:
    sources = {
        "a.js": "import { b } from './b.js';\nexport const a = 1;",
        "b.js": "import { a } from './a.js';\nexport const b = 1;",
    }
    with pytest.raises(ValueError, match=r"a\.js > b\.js > a\.js"):
        join_modules(sources, "a.js")


def test_a_style_sheet_holds_what_it_imports_where_it_imports_it() -> None:
    sources = {
        "css/page.css": "/* All. */\n@import 'a.css';\n@import 'b.css';\np { color: red; }\n",
        "css/a.css": "a :hover {\n  content: '/* kept */  \\'';\n}\n",
        "css/b.css": "b,\ni { margin: 0 auto }\n",
    }
    assert join_sheets(sources, "css/page.css") == (
        "a :hover {content: '/* kept */  \\'';}b,i { margin: 0 auto }p { color: red; }"
    )
    assert strip_css("a{}/* x */b{}") == "a{} b{}"


@pytest.mark.parametrize(
    ("accepted", "is_taken"),
    [
        ("gzip, deflate, br", True),
        ("br;q=1.0, GZIP;q=0.5", True),
        ("*", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("xgzip", False),
    ],
)
def test_who_gets_it_compressed(accepted: str, is_taken: bool) -> None:
    assert takes_gzip(accepted) is is_taken


@pytest.fixture
async def gateway(start_gateway: Start, fake_tgi: StartFake) -> Gateway:
    return await start_gateway({"m": remote((await fake_tgi()).url)})


async def test_everything_is_sent_compressed_and_kept_for_ever_under_its_address(
    gateway: Gateway,
) -> None:
    page = await gateway.get("/")
    assert page.headers["Content-Encoding"] == "gzip"
    assert page.headers["Cache-Control"] == "no-cache"
    addresses = set(re.findall(r'"(/static/.+?)"', page.text))
    assert {address.rpartition(".")[2] for address in addresses} == {"css", "js", "svg"}
    for address in addresses:
        reply = await gateway.get(address)
        plain = await gateway.get(address, headers={"Accept-Encoding": "identity"})
        assert "Content-Encoding" not in plain.headers
        assert reply.headers["Content-Encoding"] == "gzip"
        assert reply.text == plain.text
        for one in (reply, plain):
            assert one.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            assert one.headers["Vary"] == "Accept-Encoding"
        again = await gateway.get(address, headers={"If-None-Match": reply.headers["ETag"]})
        assert (again.status, again.text) == (304, "")
        assert (await gateway.ask("HEAD", address)).headers["ETag"] == reply.headers["ETag"]


async def test_a_page_that_is_still_the_same_is_not_sent_again(gateway: Gateway) -> None:
    for address in ("/", "/docs"):
        tag = (await gateway.get(address)).headers["ETag"]
        again = await gateway.get(address, headers={"If-None-Match": tag})
        assert (again.status, again.text) == (304, "")
        other = await gateway.get(address, headers={"If-None-Match": '"other"'})
        assert other.status == 200


async def test_what_pages_of_other_origins_may_read_is_told_apart_by_caches() -> None:
    origin = "https://tools.example"
    settings = Settings(
        server=server_settings(),
        access=AccessSettings(allowed_origins=(origin,)),
        conversations=ConversationSettings(enabled=False),
        models={"m": remote("http://127.0.0.1:9")},
    )
    async with running(settings) as gateway:
        page = await gateway.get("/", headers={"Origin": origin})
    assert page.headers["Access-Control-Allow-Origin"] == origin
    assert set(page.headers.getall("Vary")) == {"Accept-Encoding", "Origin"}


def test_a_change_in_any_file_changes_every_address(tmp_path: Path) -> None:
    shutil.copytree(STATIC, tmp_path / "static")
    before = Folder(tmp_path / "static").path
    assert Folder(STATIC).path == before
    (tmp_path / "static/js/view/words.js").write_text("export const words = 1;")
    assert Folder(tmp_path / "static").path != before


def test_a_module_that_no_page_names_is_sent_as_it_was_written() -> None:
    name = "js/client/client.js"
    assert Folder(STATIC).sent(name) == (STATIC / name).read_bytes()


def test_the_page_needs_no_more_than_sixty_kilobytes() -> None:
    folder = Folder(STATIC)
    sent = [folder.sent(name) for name in ("js/main.js", "css/page.css", "favicon.svg")]
    assert sum(len(gzip.compress(body, mtime=0)) for body in sent) < 58_000
