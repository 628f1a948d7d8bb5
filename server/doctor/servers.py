"""Ask each remote model server what it is, and look at how its key is stored.

Rules:

1. Only lists and descriptions are asked for: nothing that loads a model, keeps one loaded or costs
   money. Health routes are left alone, since some servers generate to answer them.
2. A server is asked once, in the time of one check, all at once. No redirect is followed: the key
   is for the address that the settings name.
3. Nothing of a key is shown.
"""

import json
import re
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from server.core.container import is_in_container
from server.doctor.findings import Finding, KnownServer, Wanted, side_by_side

PATIENCE_SECONDS: Final = 2.5
# For the words of one that was just given up; less than a check may take in all.
_GRACE_SECONDS: Final = 0.3
# Thousands of models; more is no list of them.
_MAX_BYTES: Final = 8 << 20
# Who lists models under which owner. Others name the model's own.
_OWNERS: Final = {
    "vllm": "vLLM",
    "sglang": "SGLang",
    "llamacpp": "llama.cpp",
    "library": "Ollama",
    "llama-swap": "llama-swap",
    "organization_owner": "LM Studio",
}


@dataclass(frozen=True)
class _Seen:
    """What came of asking one server; `mend` is empty where it is well."""

    words: str
    mend: str = ""
    status: int = 0


def check_keys(wanted: Wanted) -> Finding:
    """See whether keys of model servers stand where others read them."""
    written = [server.place for server in wanted.servers if server.key_is_written]
    files = [file for server in wanted.servers for file in server.readable_files]
    seen, mends = [], []
    if written:
        seen.append(f"the key of {', '.join(written)} stands in settings.ini itself")
        mends.append("Better: `api_key = env:NAME` or `file:PATH`.")
    if files:
        seen.append(f"everybody on this machine may read {', '.join(dict.fromkeys(files))}")
        mends.append("chmod 600 it.")
    if not seen:
        has_keys = any(server.has_key for server in wanted.servers)
        return Finding("keys", "ok", "none stands in the settings" if has_keys else "none is set")
    return Finding("keys", "warn", "; ".join(seen), " ".join(mends))


def check_servers(wanted: Wanted) -> Finding:
    """Ask each server that the settings name for its models."""
    if not wanted.servers:
        return Finding("servers", "ok", "the settings name none of somebody else's")
    found = side_by_side(_look, wanted.servers, PATIENCE_SECONDS + _GRACE_SECONDS)
    silent = _Seen(f"no answer within {PATIENCE_SECONDS:g} s", "Look whether it runs.")
    seen = {server: found.get(server, silent) for server in wanted.servers}
    words = [
        f"{server.place} {server.url}{server.api}: {one.words}" for server, one in seen.items()
    ]
    mends = dict.fromkeys(f"{one.place}: {what.mend}" for one, what in seen.items() if what.mend)
    return Finding("servers", "warn" if mends else "ok", "; ".join(words), " ".join(mends))


def _look(server: KnownServer) -> _Seen:
    if server.dialect == "tgi":
        return _ask(server, "/info", _read_info)
    if server.dialect == "ollama":
        return _ask(server, "/api/tags", _read_tags)
    listed = _ask(server, f"{server.api}/models", _read_models)
    if listed.status in {404, 405} and server.dialect == "auto":
        described = _ask(server, "/info", _read_info)
        return listed if described.mend else described
    return listed


def _ask(server: KnownServer, path: str, read: Callable[[Any], str]) -> _Seen:
    """Ask for one address; `read` says in words what the JSON there tells, or raises."""
    try:
        with _opener(server).open(_request(server, path), timeout=PATIENCE_SECONDS) as reply:
            status, body = reply.status, reply.read(_MAX_BYTES)
            kind = reply.headers.get_content_type()
    except urllib.error.HTTPError as error:
        with error:
            return _refusal(server, path, error)
    except (OSError, ValueError) as error:
        return _unreachable(server, getattr(error, "reason", error))
    except Exception as error:  # noqa: BLE001  http.client has many names for what is no HTTP
        return _Seen(f"speaks no HTTP ({type(error).__name__})", "Correct `url`.")
    if kind == "text/html" or body.lstrip()[:1] == b"<":
        return _Seen("answers with a web page, no API", "Correct `url`.", status)
    try:
        return _Seen(read(json.loads(body)), status=status)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        mend = "Correct `url`, or set `dialect`."
        return _Seen(f"answers, but {path} is no list of models", mend, status)


def _opener(server: KnownServer) -> urllib.request.OpenerDirector:
    handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
    if server.is_here:
        handlers.append(urllib.request.ProxyHandler({}))
    if server.url.startswith("https:"):
        context = ssl.create_default_context(cafile=server.ca_file or None)
        handlers.append(urllib.request.HTTPSHandler(context=context))
    return urllib.request.build_opener(*handlers)


def _request(server: KnownServer, path: str) -> urllib.request.Request:
    headers = {**dict(server.headers), "Accept": "application/json"}
    return urllib.request.Request(f"{server.url}{path}", headers=headers)  # noqa: S310


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow none: the answer is the redirect itself."""
        return


def _read_models(reply: Any) -> str:
    # Ollama's list is null while it has no model.
    models = (reply["data"] or []) if isinstance(reply, dict) else reply
    if not isinstance(models, list) or not all(isinstance(model, dict) for model in models):
        raise TypeError("no list of models")
    owner = str(models[0].get("owned_by", "")).lower() if models else ""
    name = _OWNERS.get(owner, "an API in OpenAI's form")
    return f"{name}, {_count(len(models))}"


def _read_tags(reply: Any) -> str:
    return f"Ollama, {_count(len(list(reply['models'])))}"


def _read_info(reply: Any) -> str:
    return f"TGI {str(reply.get('version', ''))[:40]} with {str(reply['model_id'])[:200]}"


def _count(number: int) -> str:
    return f"{number} model{'' if number == 1 else 's'}"


def _refusal(server: KnownServer, path: str, error: urllib.error.HTTPError) -> _Seen:
    status = error.code
    if 300 <= status < 400:
        place = _shown(error.headers.get("Location", ""))
        return _Seen(f"sends on to {place}", "Write that address as `url`.", status)
    if status in {401, 403}:
        words = "refuses the key" if server.has_key else "wants a key"
        return _Seen(f"{words} ({status})", "Set `api_key` there.", status)
    if status in {404, 405}:
        return _Seen(f"has nothing at {path} ({status})", "Correct `url`, or `dialect`.", status)
    mend = "It may be loading, or out of order: look again later."
    return _Seen(f"answers {status}", mend, status)


def _unreachable(server: KnownServer, reason: object) -> _Seen:
    if isinstance(reason, ssl.SSLCertVerificationError):
        mend = "Name the file of its authority with `ca_file`."
        return _Seen(f"has a certificate that is not trusted: {reason.verify_message}", mend)
    if isinstance(reason, ssl.SSLError):
        return _Seen("speaks no TLS there", "Write `http://` in `url`.")
    if isinstance(reason, socket.gaierror):
        return _Seen("the name is not known", "Correct `url`, or this machine's name server.")
    if isinstance(reason, TimeoutError):
        return _Seen(f"no answer within {PATIENCE_SECONDS:g} s", "Look whether it runs.")
    if isinstance(reason, ConnectionRefusedError):
        return _Seen("nobody listens there", _mend_for_refused(server))
    words = getattr(reason, "strerror", None) or str(reason)
    return _Seen(f"cannot be reached: {words}", "Look whether it runs.")


def _mend_for_refused(server: KnownServer) -> str:
    is_loopback = server.is_here and ".internal" not in server.url
    if is_loopback and is_in_container():
        return (
            "In a container this address is the container itself: write `host.docker.internal`, "
            "and have the server listen beyond 127.0.0.1."
        )
    if server.is_here and not is_loopback:
        return "Start it, and have it listen beyond 127.0.0.1."
    return "Start it, or correct `url`."


def _shown(text: str) -> str:
    """Return an address without what is not to be shown, as far as it is one."""
    return re.sub(r"(?<=//)[^/@]*@|[?#].*|[^\x20-\x7e]", "", text)[:200] or "nowhere"
