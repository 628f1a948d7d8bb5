"""What describes the API is made from what serves it, and asks nobody else for anything."""

import re
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import pytest

from server.core.errors import InvalidParameters
from server.core.parameters import FIELDS
from server.dialects.tgi.parameters import normalise
from server.settings.document import ROOT
from server.web.http.api import OPERATIONS
from server.web.http.openapi import Description
from server.web.http.reference import PAGE, render
from server.web.http.tgi.types import PARAMETER_RANGES
from tests.web.conftest import StartWithFake

DESCRIPTION = Description(OPERATIONS)
PARAMETERS = DESCRIPTION.types["GenerationParameters"]["properties"]


def test_the_reference_is_made_from_the_definitions() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == render(DESCRIPTION), "run: python -m server.web.http.reference"


def test_every_reference_in_the_document_leads_somewhere() -> None:
    names = set(re.findall(r"#/components/schemas/(\w+)", str(DESCRIPTION.document)))
    assert names == DESCRIPTION.types.keys()


def test_no_two_operations_have_one_name() -> None:
    names = [operation.id for operation in OPERATIONS]
    assert len(set(names)) == len(names)


async def test_the_description_is_served_and_complete(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake()
    document = (await gateway.get("/openapi.json")).json
    described = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item
    }
    page = {("GET", path) for path in ("/", "/docs", "/ws", "/favicon.ico", "/sign-in")}
    page |= {("POST", "/sign-in"), ("POST", "/sign-out")}
    served = {
        (route.method, route.resource.canonical)
        for route in gateway.app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert served - page - {("GET", "/static/{version}/{name}")} == described


def test_no_line_of_a_types_description_is_indented() -> None:
    about = [schema.get("description", "") for schema in DESCRIPTION.types.values()]
    assert any("\n\n" in words for words in about)
    assert not [words for words in about if "\n " in words]


async def test_the_page_needs_nobody_else_and_no_script(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake()
    reply = await gateway.get("/docs")
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<script" not in reply.text
    assert not re.search(r"<style|\sstyle=|\son\w+=", reply.text)
    asked = re.findall(r'(?:src|href)="([^"#][^"]*)"', reply.text)
    assert not any(re.match(r"/|\w+:", address) for address in asked), "a proxy may have a path"
    for address in asked:
        assert (await gateway.get(f"/{address.removeprefix('./')}")).status == 200
    for operation in OPERATIONS:
        assert f'id="{operation.id}"' in reply.text
    anchors = set(re.findall(r'href="#([^"]+)"', reply.text))
    assert anchors <= set(re.findall(r'id="([^"]+)"', reply.text))


async def test_the_examples_of_the_page_are_for_this_gateway(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake()
    [model] = [one["id"] for one in (await gateway.get("/models")).json]
    text = unescape((await gateway.get("/docs")).text)
    lines = re.findall(r"curl (?:-N |-X \w+ )?(\S+)", text)
    assert {urlsplit(line).netloc for line in lines} == {urlsplit(gateway.url).netloc}
    assert f"/models/{model}/start" in text
    assert f'-d \'{{"model": "{model}"' in text
    assert "smollm2" not in text


def taken(name: str, value: Any) -> bool:
    try:
        normalise({name: value})
    except InvalidParameters:
        return False
    return True


@pytest.mark.parametrize("name", PARAMETER_RANGES)
def test_the_ranges_described_are_those_that_are_taken(name: str) -> None:
    limits = PARAMETER_RANGES[name]
    step = 1 if PARAMETERS[name]["anyOf"][0]["type"] == "integer" else 1e-6
    for limit, beyond in (("minimum", -step), ("maximum", step)):
        if limit in limits:
            assert taken(name, limits[limit])
            assert not taken(name, limits[limit] + beyond)
    if "exclusiveMinimum" in limits:
        assert not taken(name, limits["exclusiveMinimum"])
        assert taken(name, limits["exclusiveMinimum"] + step)
    if "maxItems" in limits:
        assert taken(name, ["x"] * limits["maxItems"])
        assert not taken(name, ["x"] * (limits["maxItems"] + 1))
    if "enum" in limits:
        assert all(taken(name, value) for value in limits["enum"] if value is not None)
        assert not taken(name, {"best_of": 2, "decoder_input_details": True}[name])


def test_every_parameter_is_described() -> None:
    assert PARAMETERS.keys() == set(FIELDS)


def test_examples_are_of_a_model_that_is_there() -> None:
    settings = (ROOT / "settings.ini").read_text()
    examples = [operation.example for operation in OPERATIONS]
    models = {e["model"] for e in examples if isinstance(e, dict) and "model" in e}
    assert models
    assert all(f"[model {model}]" in settings for model in models)
