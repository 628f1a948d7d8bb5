"""Check combinations of keys of a model or a server; each value is valid by itself.

Each function yields the key at fault and what is wrong with it.
"""

import dataclasses
import re
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from server.core.errors import InvalidParameters
from server.core.extra import why_not_allowed
from server.core.parameters import checked
from server.dialects.tgi.parameters import normalise
from server.engines.known import DEFAULT, ENGINES
from server.engines.llama_options import parse_llama_options
from server.settings.addresses import is_this_machine, resolve_address
from server.settings.commands import SOME_PORT, Problem, command_problems, takes_any_port, with_port
from server.settings.containers import container_problems, engine_of, service_problems
from server.settings.docker_engines import engine_host_problems
from server.settings.models import ModelSettings
from server.settings.remote import RemoteSettings
from server.settings.runners import ASKED_RUNNERS, CONTAINER_RUNNERS
from server.settings.tables import ContainerSections
from server.settings.upstreams import UpstreamSettings
from server.settings.values import in_words

# The keys that a preset may have; it shares all others with its base.
_PRESET_KEYS: Final = frozenset({"name", "description", "base", "system", "parameters"})
_RUNNER: Final = next(one for one in dataclasses.fields(ModelSettings) if one.name == "runner")
_WEIGHTS: Final = re.compile(
    r"pypi:[A-Za-z0-9._-]+(==[^\s=]+)?|hf:[^/\s]+/[^/\s]+/\S+\.gguf(@\S+)?|(?![A-Za-z]{2,}:).+"
)
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
# No server's name of a model is longer.
_MAX_MODEL_ID: Final = 512


def misplaced_keys(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the keys of a model that have no meaning together with its other keys."""
    if values.get("base"):
        for key in values:
            if key not in _PRESET_KEYS:
                yield key, "means nothing in a preset, whose server is that of its base"
        return
    runner = values.get("runner", _RUNNER.default)
    for declared in dataclasses.fields(ModelSettings):
        only_for = declared.metadata["only_for"]
        if declared.name in values and only_for and runner not in only_for:
            runners = in_words(only_for)
            yield declared.name, f"means nothing for runner = {runner}, only for {runners}"
        elif declared.name in values and runner in CONTAINER_RUNNERS:
            yield from _engine_problems(declared.name, values.get("engine") or DEFAULT)


def _engine_problems(key: str, engine: str) -> Iterator[Problem]:
    """Yield a key that has a meaning only for other engines in a container."""
    others = tuple(name for name, one in ENGINES.items() if key in one.keys)
    if others and engine not in others:
        yield key, f"means nothing for engine = {engine}, only for {in_words(others)}"


def model_problems(
    model_id: str,
    model: ModelSettings,
    models: Mapping[str, ModelSettings],
    containers: ContainerSections,
    upstreams: Container[str] = (),
) -> Iterator[Problem]:
    """Yield the problems of a model; `upstreams` are the names of servers with many models."""
    if model.base:
        yield from _preset_problems(model_id, model, models, upstreams)
    else:
        yield from PROBLEMS[model.runner](model, containers)
    root = models.get(model.base, model)
    is_remote = root.runner in ASKED_RUNNERS
    if root.runner in CONTAINER_RUNNERS:
        is_remote = engine_of(root).dialect != "tgi"
    yield from _asking_problems(model, is_remote=is_remote)


def _preset_problems(
    model_id: str,
    model: ModelSettings,
    models: Mapping[str, ModelSettings],
    upstreams: Container[str],
) -> Iterator[Problem]:
    base = models.get(model.base)
    server, slash, name = model.base.partition("/")
    if base is None and slash and server in upstreams:
        yield (
            "base",
            f"{model.base!r} is a model of [upstream {server}], and a base has a section of "
            f"its own: write [model ID] with runner = remote, the server's url and "
            f"model_id = {name}, and name that one",
        )
    elif base is None or model.base == model_id:
        yield "base", f"{model.base!r} is not another model of the catalogue"
    elif base.base:
        yield "base", f"{model.base!r} is itself a preset of {base.base!r}"


def _embedded_problems(model: ModelSettings, _: ContainerSections) -> Iterator[Problem]:
    if not model.weights:
        yield "weights", "missing; expected pypi:…, hf:… or the path of a GGUF file"
    elif not _WEIGHTS.fullmatch(model.weights):
        yield (
            "weights",
            "expected pypi:PACKAGE[==VERSION], hf:OWNER/REPO/FILE.gguf[@REVISION] or the path "
            f"of a GGUF file, found {model.weights!r}",
        )
    try:
        parse_llama_options(model.engine_options)
    except ValueError as error:
        yield "engine_options", str(error)


def _command_problems(model: ModelSettings, _: ContainerSections) -> Iterator[Problem]:
    yield from command_problems(model.command, model.url, model.env)
    if model.url:
        yield from _address_problems(model, with_port(model.url, SOME_PORT))
    if model.replicas[1] > 1 and not takes_any_port(model.command, model.url, model.env):
        yield "replicas", "need a port each: expected `{port}` in `command`, `env` or `url`"
    yield from _name_problems(model)


def _remote_problems(model: ModelSettings, _: ContainerSections) -> Iterator[Problem]:
    if model.urls:
        yield from _urls_problems(model)
    else:
        yield from _address_problems(model, model.url)
    yield from _name_problems(model)


def _urls_problems(model: ModelSettings) -> Iterator[Problem]:
    if model.url:
        yield "urls", "means nothing together with `url`: expected all addresses here"
    places = []
    for url in model.urls:
        problems = list(_address_problems(model, url))
        yield from (("urls" if key == "url" else key, words) for key, words in problems)
        if not problems:
            places.append(_place(resolve_address(url).url))
    for host, port in {one for one in places if places.count(one) > 1}:
        yield "urls", f"the server at port {port} of {host} is there more than once"


def _place(url: str) -> tuple[str, int]:
    """Return host and port of an address; the usual names of this machine are one."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = "this machine" if host in _LOOPBACK else host
    return host, parts.port or (443 if parts.scheme == "https" else 80)


def _name_problems(model: ModelSettings) -> Iterator[Problem]:
    if len(model.model_id) > _MAX_MODEL_ID or not model.model_id.isprintable():
        yield (
            "model_id",
            f"expected at most {_MAX_MODEL_ID} characters that can be seen, "
            f"found {model.model_id[:80]!r}",
        )


def _docker_problems(model: ModelSettings, containers: ContainerSections) -> Iterator[Problem]:
    yield from container_problems(model, containers.docker)
    yield from engine_host_problems(model.engine_host, containers.docker_engines)


PROBLEMS: Final[Mapping[str, Callable[[ModelSettings, ContainerSections], Iterator[Problem]]]] = {
    "process": _embedded_problems,
    "command": _command_problems,
    "docker": _docker_problems,
    "swarm": lambda model, containers: service_problems(model, containers.swarm),
    "remote": _remote_problems,
}
"""The rules about several keys of a model, by its runner."""


def upstream_problems(upstream: UpstreamSettings) -> Iterator[Problem]:
    """Yield the problems of a server with many models."""
    problems = list(_address_problems(upstream, upstream.url))
    yield from problems
    if not problems and not upstream.models:
        yield (
            "models",
            "missing; the server is not on this machine. Expected names or patterns of its models, "
            "such as `*` for all",
        )
    yield from _asking_problems(upstream, is_remote=True)


def with_defaults(upstream: UpstreamSettings) -> UpstreamSettings:
    """Return the settings, with `models = *` for a server on this machine that names no models."""
    try:
        is_here = is_this_machine(resolve_address(upstream.url).url)
    except ValueError:
        return upstream
    return (
        upstream if upstream.models or not is_here else dataclasses.replace(upstream, models=("*",))
    )


def _address_problems(server: RemoteSettings, url: str) -> Iterator[Problem]:
    try:
        address = resolve_address(url)
    except ValueError as error:
        yield "url", str(error)
        return
    if server.ca_file and not address.url.startswith("https:"):
        yield "ca_file", f"means nothing for {address.url}, which is not https"
    if server.flavour and server.dialect not in {"auto", "openai"}:
        yield "flavour", f"means nothing for dialect = {server.dialect}, only for openai"
    if server.num_ctx and server.dialect not in {"auto", "ollama"}:
        yield "num_ctx", f"means nothing for dialect = {server.dialect}, only for ollama"


def _asking_problems(server: RemoteSettings, *, is_remote: bool) -> Iterator[Problem]:
    for name in server.extra_allowed:
        if problem := why_not_allowed(name):
            yield "extra_allowed", problem
    try:
        (checked if is_remote else normalise)(server.parameters)
    except InvalidParameters as error:
        yield "parameters", str(error)
