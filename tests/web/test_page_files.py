"""What the page loads: joined, without comments, compressed, and still the same program."""

import asyncio
import gzip
import json
import re
import shutil
from pathlib import Path

import pytest

from server.settings.access import AccessSettings
from server.settings.conversations import ConversationSettings
from server.settings.runs import RunSettings
from server.settings.tables import Settings
from server.web.files.content import takes_gzip
from server.web.files.folder import Folder
from server.web.files.joining import join_later, join_modules, join_sheets, later_files
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
        "const $0=(()=>{const c=1;class C{}",
        "return{c,C}})();",
        "const $3=(()=>{const{C,c,}=$0;function b(x){}",
        "return{b}})();",
        "const $1=(()=>{const{b}=$3;const{c}=$0;b(c);",
        "return{}})();",
    ]


def test_late_modules_share_modules_with_the_page() -> None:
    sources = {
        "js/main.js": "import { b } from './b.js';\n/** @type {import('./c.js').C} */\n"
        "b(() => import('./view/late.js'));",
        "js/view/late.js": "import { c } from '../c.js';\nimport { d } from './d.js';\n"
        "export const late = c(d);",
        "js/view/d.js": "import { c } from '../c.js';\nexport const d = c();",
        "js/b.js": "import { c } from './c.js';\nexport const b = c;",
        "js/c.js": "export function c() {}",
    }
    assert later_files(sources, "js/main.js") == {"js/view/late.js"}
    assert join_modules(sources, "js/main.js").split("\n") == [
        "const $1=(()=>{function c(){}",
        "return{c}})();",
        "const $0=(()=>{const{c}=$1;const b=c;",
        "return{b}})();",
        "const $2=(()=>{const{b}=$0;b(()=>import('./view/late.js'));",
        "return{}})();",
        "export{$1};",
    ]
    assert join_later(sources, "js/view/late.js", "js/main.js").split("\n") == [
        "import{$1}from'../main.js';",
        "const $3=(()=>{const{c}=$1;const d=c();",
        "return{d}})();",
        "const $4=(()=>{const{c}=$1;const{d}=$3;const late=c(d);",
        "return{late}})();",
        "export const{late}=$4;",
    ]
    beside = sources | {"js/main.js": "f(import('./late.js'));\nimport { b } from './b.js';"}
    beside["js/late.js"] = "import { c } from './c.js';\nexport const late = c;"
    assert join_later(beside, "js/late.js", "js/main.js").startswith("import{$1}from'./main.js';")


# What comes later is needed by others that do (`writer`), imports more later, and shares (`d`).
LATER = {
    "js/main.js": "import { note } from './note.js';\nnote('main');\nvoid import('./view/one.js')"
    ".then(() => import('./two.js')).then(() => import('./view/writer.js'));",
    "js/note.js": "export const noted = [];\n"
    "export function note(name) { noted.push(name); console.log(name); }",
    "js/view/one.js": "import { note } from '../note.js';\nimport { e } from '../e.js';\n"
    "import { write } from './writer.js';\nexport const one = note(`one ${e} ${write()}`);",
    "js/two.js": "import { note } from './note.js';\nimport { d } from './d.js';\n"
    "export const two = note(`two ${d}`);",
    "js/view/writer.js": "import { note } from '../note.js';\nimport { inner } from './inner.js';\n"
    "note('writer');\nexport function write() { return inner; }\n"
    "export const more = import('../three.js');",
    "js/view/inner.js": "import { note } from '../note.js';\nnote('inner');\n"
    "export const inner = 1;",
    "js/three.js": "import { note } from './note.js';\nimport { d } from './d.js';\n"
    "import { e } from './e.js';\nexport const three = note(`three ${d} ${e}`);",
    "js/d.js": "import { note } from './note.js';\nnote('d');\nexport const d = 2;",
    "js/e.js": "import { note } from './note.js';\nimport { d } from './d.js';\nnote('e');\n"
    "export const e = d + 1;",
}


def test_modules_shared_by_several_lazy_modules_are_sent_once() -> None:
    assert later_files(LATER, "js/main.js") == {
        *("js/view/one.js", "js/two.js", "js/three.js", "js/view/writer.js"),
        *("js/d.js", "js/e.js"),
    }
    one = join_later(LATER, "js/view/one.js", "js/main.js").split("\n")
    assert [line for line in one if line.startswith("import")] == [
        "import{$1}from'../e.js';",
        "import{$3}from'../main.js';",
        "import{$8}from'./writer.js';",
    ]
    writer = join_later(LATER, "js/view/writer.js", "js/main.js")
    assert writer.endswith("export{$8};\nexport const{write,more}=$8;")
    assert "import('../three.js')" in writer


@pytest.mark.needs_node
async def test_joined_modules_run_once_each_in_their_order(tmp_path: Path) -> None:
    joined = {"js/main.js": join_modules(LATER, "js/main.js")}
    for name in later_files(LATER, "js/main.js"):
        joined[name] = join_later(LATER, name, "js/main.js")
    said = []
    for folder, files in (("written", LATER), ("joined", joined)):
        for name, text in {**files, "package.json": '{"type": "module"}'}.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        process = await asyncio.create_subprocess_exec(
            str(shutil.which("node")),
            str(tmp_path / folder / "js/main.js"),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        said.append(output.decode().split())
    words = "main d e inner writer one 3 1 two 2 three 2 3"
    assert sorted(said[0]) == sorted(said[1]) == sorted(words.split())


def test_modules_imported_both_statically_and_dynamically_are_refused() -> None:
    sources = LATER | {"js/note.js": "import { d } from './d.js';\nexport function note() {}"}
    sources |= {
        "js/d.js": "export const d = 1;",
        "js/two.js": "export const two = import('./d.js');",
    }
    with pytest.raises(ValueError, match=r"js/d\.js: imported at once and later"):
        join_modules(sources, "js/main.js")


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
def test_modules_that_cannot_be_joined_are_refused_by_name(line: str) -> None:
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
def test_compression_follows_accept_encoding(accepted: str, is_taken: bool) -> None:
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
    addresses = {f"/{path}" for path in re.findall(r'"(static/.+?)"', page.text)}
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


async def test_a_page_for_another_origin_varies_by_origin() -> None:
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


@pytest.mark.parametrize("enabled", [True, False])
async def test_runs_are_offered_where_there_are_any(*, enabled: bool) -> None:
    settings = Settings(
        server=server_settings(),
        runs=RunSettings(enabled=enabled),
        models={"m": remote("http://127.0.0.1:9")},
    )
    async with running(settings) as gateway:
        page = await gateway.get("/")
    assert ('id="runs"' in page.text) is enabled


def test_a_change_in_any_file_changes_every_address(tmp_path: Path) -> None:
    shutil.copytree(STATIC, tmp_path / "static")
    before = Folder(tmp_path / "static").path
    assert Folder(STATIC).path == before
    (tmp_path / "static/js/view/words.js").write_text("export const words = 1;")
    assert Folder(tmp_path / "static").path != before


def test_a_module_that_no_page_names_is_sent_as_it_was_written() -> None:
    name = "js/client/client.js"
    assert Folder(STATIC).sent(name) == (STATIC / name).read_bytes()


def test_the_page_needs_no_more_than_sixty_two_kilobytes() -> None:
    folder = Folder(STATIC)
    sent = [folder.sent(name) for name in ("js/main.js", "css/page.css", "favicon.svg")]
    assert sum(len(gzip.compress(body, mtime=0)) for body in sent) < 62_000
