"""Join what the page loads: its modules into one, and its style sheets into one.

Sixty modules of a few kilobytes each are sixty requests, with headers as long as some of them,
and each is compressed without the others. So `main.js` is sent with all that it imports, and a
style sheet with all that it imports. It takes no other form for that: each module becomes a
function that is called once and returns what the module exports, in an order in which everything
is there before it is needed.

What the entry imports only when somebody needs it, by `import('./d.js')`, is sent when it is asked
for, joined with what it needs beyond the entry; what both need it has from the entry, so that a
class is one class.

Only the forms that our modules are written in are understood, and anything else is refused:
`import { A, B } from './c.js';` and `export` before a class, a function or a `const`, each at the
beginning of a line. Circles are refused, and so is to import later from elsewhere than the entry,
or to need there what another that comes later needs too: it would be there twice.
"""

import re
from collections.abc import Iterable, Mapping
from posixpath import dirname, join, normpath, relpath
from typing import Final

from server.web.files.stripping import strip_css, strip_javascript

_NAMES: Final = r"\s*[\w$]+(?:\s*,\s*[\w$]+)*,?\s*"
_IMPORT: Final = re.compile(rf"^import \{{({_NAMES})\}} from '(\..+?)';$", re.MULTILINE)
_EXPORT: Final = re.compile(
    r"^export ((?:async )?(?:class|function\*?|const) ([\w$]+))", re.MULTILINE
)
_LATER: Final = re.compile(r"\bimport\('(\..+?)'\)")
_NOT_UNDERSTOOD: Final = re.compile(r"^(?:import|export)\b.*|\bimport\.meta\b", re.MULTILINE)
_CSS_IMPORT: Final = re.compile(r"^@import '(.+?)';$", re.MULTILINE)


def join_modules(sources: Mapping[str, str], entry: str) -> str:
    """Return the module `entry` with all that it needs as one; raises ValueError if it cannot."""
    needed = _needed(sources, entry)
    shared: set[str] = set()
    added: set[str] = set()
    for later in sorted(later_modules(sources, entry)):
        needed_later = _needed(sources, later)
        if twice := added & needed_later.keys():
            raise ValueError(f"{later}: another that comes later needs {min(twice)} too")
        shared |= needed_later.keys() & needed.keys()
        added |= needed_later.keys() - needed.keys()
    ending = [f"export{{{_variables(shared)}}};"] if shared else []
    return "\n".join([*(_wrapped(sources, name, entry) for name in needed), *ending])


def join_later(sources: Mapping[str, str], name: str, entry: str) -> str:
    """Return a module that `entry` imports later with what it needs beyond `entry`, as one.

    Raises ValueError if it cannot.
    """
    there = _needed(sources, entry)
    needed = _needed(sources, name)
    address = relpath(entry, dirname(name))
    if not address.startswith("."):
        address = f"./{address}"
    exported = ",".join(found for _, found in _EXPORT.findall(sources[name]))
    return "\n".join(
        [
            f"import{{{_variables(needed.keys() & there.keys())}}}from'{address}';",
            *(_wrapped(sources, one, entry) for one in needed if one not in there),
            f"export const{{{exported}}}={_variable(name)};",
        ]
    )


def later_modules(sources: Mapping[str, str], entry: str) -> set[str]:
    """Return the names of the modules that `entry` imports when they are needed."""
    code = strip_javascript(sources[entry])  # comments name modules like this too
    return {_resolved(entry, address) for address in _LATER.findall(code)}


def _needed(sources: Mapping[str, str], name: str) -> dict[str, None]:
    """Return the names of all that a module needs and its own, each behind what it needs."""
    needed: dict[str, None] = {}

    def add(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise ValueError(f"modules import each other: {' > '.join([*above, name])}")
        if name in needed:
            return
        for _, address in _IMPORT.findall(sources[name]):
            add(_resolved(name, address), (*above, name))
        needed[name] = None

    add(name, ())
    return needed


def _wrapped(sources: Mapping[str, str], name: str, entry: str) -> str:
    """Return a module as a function that is called at once and returns what it exports."""
    source = sources[name]
    exported = [found for _, found in _EXPORT.findall(source)]
    body = _EXPORT.sub(r"\1", source)
    body = _IMPORT.sub(
        lambda found: f"const {{{found[1]}}} = {_variable(_resolved(name, found[2]))};", body
    )
    if left := _NOT_UNDERSTOOD.search(body):
        raise ValueError(f"{name}: this is not understood: {left.group()}")
    body = strip_javascript(body)
    if name != entry and _LATER.search(body):
        raise ValueError(f"{name}: only what a page names can import later")
    # Line breaks keep each module on lines of its own, for whoever reads a traceback.
    return f"const {_variable(name)}=(()=>{{{body}\nreturn{{{','.join(exported)}}}}})();"


def join_sheets(sources: Mapping[str, str], entry: str) -> str:
    """Return a style sheet with all that it imports in its place."""
    return strip_css(
        _CSS_IMPORT.sub(
            lambda found: join_sheets(sources, _resolved(entry, found[1])), sources[entry]
        )
    )


def _resolved(name: str, address: str) -> str:
    return normpath(join(dirname(name), address))


def _variables(names: Iterable[str]) -> str:
    return ",".join(map(_variable, sorted(names)))


def _variable(name: str) -> str:
    return "$" + re.sub(r"\W", "_", name.removeprefix("js/").removesuffix(".js"))
