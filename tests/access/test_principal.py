"""Which models somebody sees."""

import pytest

from server.access.principal import Principal
from server.core.errors import UnknownModel


@pytest.mark.parametrize(
    ("models", "seen"),
    [
        (None, {"m", "box/a", "box/org/b", "other/a"}),
        ((), set()),
        (("m",), {"m"}),
        (("box/*",), {"box/a", "box/org/b"}),
        (("*/a", "m"), {"m", "box/a", "other/a"}),
        # Only `*` means anything: no id has it.
        (("box/?", "box/[a]"), set()),
    ],
)
def test_a_key_sees_what_it_names(models: tuple[str, ...] | None, seen: set[str]) -> None:
    limit = None if models is None else frozenset(models)
    principal = Principal("id", "ann", "user", limit)
    everything = {"m", "box/a", "box/org/b", "other/a"}
    assert {model for model in everything if principal.sees(model)} == seen
    for model in everything - seen:
        with pytest.raises(UnknownModel):
            principal.check_model(model)
