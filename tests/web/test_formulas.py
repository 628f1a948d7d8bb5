"""The operation that typesets formulas."""

import pytest

from tests.web.conftest import StartWithFake


async def test_formulas_become_mathml_in_their_order(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake()
    formulas = [{"tex": "x"}, {"tex": "\\foo"}, {"tex": "x", "block": True}]
    reply = await gateway.post("/formulas", {"formulas": formulas})
    assert reply.status == 200
    first, wrong, block = reply.json["formulas"]
    assert first == {"mathml": "<math><mi>x</mi></math>", "error": None}
    assert wrong["mathml"] is None
    assert "\\foo" in wrong["error"]
    assert block["mathml"].startswith('<math display="block">')


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "formulas"),
        ({"formulas": [{"tex": "x" * 4001}]}, "$.formulas[0].tex"),
        ({"formulas": [{"tex": 1}]}, "$.formulas[0].tex"),
        ({"formulas": [{"tex": "x"}] * 101}, "$.formulas"),
    ],
)
async def test_malformed_lists_of_formulas_are_refused(
    before_fake: StartWithFake, body: object, path: str
) -> None:
    gateway, _ = await before_fake()
    reply = await gateway.post("/formulas", body)
    assert (reply.status, reply.json["error"]["code"]) == (400, "invalid_command")
    assert path in reply.json["error"]["message"]
