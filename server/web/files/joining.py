"""Join the page's modules into one script, and its style sheets into one sheet.

Sixty modules of a few kilobytes each would be sixty requests, with headers as long as some of them,
each compressed without the others. So `main.js` is sent with all that it imports, and a style sheet
with all that it imports. Each module becomes a function that is called once and returns the
module's exports, in an order in which every import comes first.

A module that is imported dynamically, by `import('./d.js')`, is sent when it is requested, joined
with the modules that it needs. What the entry has too is imported from there. What another dynamic
module needs too is imported from that one, if this one needs it in any case, and else sent on its
own. So each module is sent and evaluated once.

Only the forms that our modules use are understood, and anything else is refused:
`import { A, B } from './c.js';` and `export` before a class, a function or a `const`, each at the
beginning of a line. Circular imports are refused.
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
    return _joined(sources, entry, _file_of(sources, entry))


def join_later(sources: Mapping[str, str], name: str, entry: str) -> str:
    """Return a file of `later_files`: its module, with what it needs beyond other files.

    Raises ValueError if it cannot.
    """
    exported = ",".join(found for _, found in _EXPORT.findall(sources[name]))
    joined = _joined(sources, name, _file_of(sources, entry))
    return f"{joined}\nexport const{{{exported}}}={_variable(sources, name)};"


def later_files(sources: Mapping[str, str], entry: str) -> set[str]:
    """Return the names of the modules that are sent when they are needed, each with its own."""
    return set(_file_of(sources, entry).values()) - {entry}


def _file_of(sources: Mapping[str, str], entry: str) -> dict[str, str]:
    """Return for each module that the page can need in which file it is sent."""
    needed = {entry: _needed(sources, entry)}
    waiting = [entry]
    while waiting:
        for name in needed[waiting.pop()]:
            for later in _later(sources, name) - needed.keys():
                needed[later] = _needed(sources, later)
                waiting.append(later)
    if both := needed[entry].keys() & needed.keys() - {entry}:
        raise ValueError(f"{min(both)}: imported at once and later")
    files = dict.fromkeys(needed[entry], entry)
    for name in sorted(set().union(*needed.values()) - files.keys()):
        users = [one for one in needed if name in needed[one]]
        # The one that needs it in any case when another one does.
        first = [one for one in users if all(one in needed[user] for user in users)]
        files[name] = first[0] if first else name
    return files


def _later(sources: Mapping[str, str], name: str) -> set[str]:
    """Return what a module imports dynamically."""
    if not _LATER.search(sources[name]):
        return set()
    code = strip_javascript(sources[name])  # comments name modules like this too
    return {_resolved(name, address) for address in _LATER.findall(code)}


def _joined(sources: Mapping[str, str], file: str, file_of: Mapping[str, str]) -> str:
    """Return the modules of a file, with what it takes from others and what others take from it."""
    taken: dict[str, set[str]] = {}
    given: set[str] = set()
    for name, its_file in file_of.items():
        for one in _imported(sources, name):
            if its_file == file != file_of[one]:
                taken.setdefault(file_of[one], set()).add(one)
            elif its_file != file == file_of[one]:
                given.add(one)
    needed = [name for name in _needed(sources, file) if file_of[name] == file]
    return "\n".join(
        [
            *(
                f"import{{{_variables(sources, names)}}}from'{_address(other, file)}';"
                for other, names in sorted(taken.items())
            ),
            *(_wrapped(sources, name, file) for name in needed),
            *([f"export{{{_variables(sources, given)}}};"] if given else []),
        ]
    )


def _needed(sources: Mapping[str, str], name: str) -> dict[str, None]:
    """Return the names of all that a module needs and its own, each behind what it needs."""
    needed: dict[str, None] = {}

    def add(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise ValueError(f"modules import each other: {' > '.join([*above, name])}")
        if name in needed:
            return
        for imported in _imported(sources, name):
            add(imported, (*above, name))
        needed[name] = None

    add(name, ())
    return needed


def _imported(sources: Mapping[str, str], name: str) -> list[str]:
    return [_resolved(name, address) for _, address in _IMPORT.findall(sources[name])]


def _wrapped(sources: Mapping[str, str], name: str, file: str) -> str:
    """Return a module as a function that is called at once and returns what it exports."""
    source = sources[name]
    exported = [found for _, found in _EXPORT.findall(source)]
    body = _EXPORT.sub(r"\1", source)

    def taken(found: re.Match[str]) -> str:
        return f"const {{{found[1]}}} = {_variable(sources, _resolved(name, found[2]))};"

    def later(found: re.Match[str]) -> str:
        return f"import('{_address(_resolved(name, found[1]), file)}')"

    body = _IMPORT.sub(taken, body)
    if left := _NOT_UNDERSTOOD.search(body):
        raise ValueError(f"{name}: this is not understood: {left.group()}")
    body = _LATER.sub(later, strip_javascript(body))
    # Each module is on lines of its own, which makes tracebacks readable.
    return f"const {_variable(sources, name)}=(()=>{{{body}\nreturn{{{','.join(exported)}}}}})();"


def join_sheets(sources: Mapping[str, str], entry: str) -> str:
    """Return a style sheet with all that it imports in its place."""
    return strip_css(
        _CSS_IMPORT.sub(
            lambda found: join_sheets(sources, _resolved(entry, found[1])), sources[entry]
        )
    )


def _resolved(name: str, address: str) -> str:
    return normpath(join(dirname(name), address))


def _address(name: str, file: str) -> str:
    """Return how `file` imports another one."""
    address = relpath(name, dirname(file))
    return address if address.startswith(".") else f"./{address}"


def _variables(sources: Mapping[str, str], names: Iterable[str]) -> str:
    return ",".join(_variable(sources, name) for name in sorted(names))


def _variable(sources: Mapping[str, str], name: str) -> str:
    """Return what a module is called: its place among all, which takes a few bytes."""
    return f"${sorted(sources).index(name)}"
