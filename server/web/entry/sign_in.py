"""The page's sign-in: a key is entered once, and a cookie stands for it from then on.

The cookie holds a random token that is valid for this run of the server only; scripts cannot read
it, and requests from foreign sites do not carry it.
"""

from typing import Final
from urllib.parse import parse_qs

from aiohttp import web

from server.core.errors import InvalidCommand, RateLimited
from server.web.bodies import WrongContentType, read_bytes
from server.web.entry.gate import Gate
from server.web.entry.peer import peer_of
from server.web.keys import SETTINGS
from server.web.middleware import HEADERS
from server.web.page import Page

# A key has some 60 characters.
_MAX_FORM_BYTES: Final = 4096
_FORM: Final = "application/x-www-form-urlencoded"
_CSP: Final = "Content-Security-Policy"
_HEADERS: Final = {
    "Cache-Control": "no-store",
    _CSP: HEADERS[_CSP].replace("form-action 'none'", "form-action 'self'"),
    # A form of a page without any referrer would be sent with `Origin: null`.
    "Referrer-Policy": "same-origin",
}


class SignIn:
    """Serve the sign-in page, and sign in and out."""

    def __init__(self, gate: Gate, page: Page) -> None:
        self._gate = gate
        self._page = page

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/sign-in", self._show),
            web.post("/sign-in", self._sign_in),
            web.post("/sign-out", self._sign_out),
        ]

    async def _show(self, request: web.Request) -> web.Response:
        if self._gate.keyring.is_open:
            raise web.HTTPSeeOther("./")
        return self._answer("")

    async def _sign_in(self, request: web.Request) -> web.Response:
        if request.content_type != _FORM:
            raise WrongContentType("the body has to be a form", hint=f"send it as `{_FORM}`")
        body = await read_bytes(
            request,
            _MAX_FORM_BYTES,
            too_large="no key is as long as this",
            hint="send one field, `key`",
        )
        try:
            form = parse_qs(body.decode(), max_num_fields=4)
        except ValueError as error:
            raise InvalidCommand(f"the form cannot be read: {error}") from None
        try:
            token = self._gate.sign_in(request, form.get("key", [""])[0].strip())
        except RateLimited as error:
            seconds = (error.details or {})["retry_after_seconds"]
            answer = self._answer(f"Too many wrong keys. Try again in {seconds} s.", status=429)
            answer.headers["Retry-After"] = str(seconds)
            return answer
        if token is None:
            return self._answer("This key is wrong, was revoked, or has expired.", status=401)
        self._end(request)
        answer = web.Response(status=303, headers={"Location": "./", "Cache-Control": "no-store"})
        lifetime = request.app[SETTINGS].access.sign_in_lifetime
        answer.set_cookie(
            self._gate.cookie,
            token,
            max_age=int(lifetime),
            # The folder of the page, whatever a proxy calls it.
            path="",
            httponly=True,
            samesite="Strict",
            secure=peer_of(request).is_encrypted,
        )
        return answer

    async def _sign_out(self, request: web.Request) -> web.Response:
        self._end(request)
        answer = web.Response(status=303, headers={"Location": "sign-in"})
        answer.del_cookie(self._gate.cookie, path="")
        return answer

    def _end(self, request: web.Request) -> None:
        cookie = request.cookies.get(self._gate.cookie)
        if cookie is not None:
            self._gate.sign_ins.take(cookie)

    def _answer(self, problem: str, *, status: int = 200) -> web.Response:
        html = self._page.render("sign-in.html", problem=problem)
        return web.Response(text=html, content_type="text/html", status=status, headers=_HEADERS)
