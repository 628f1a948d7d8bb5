"""The pages that list things list all of them, and point at what is there."""

import re
from pathlib import Path

import pytest

from server.app import build_app
from server.dialects.openai.flavours import FLAVOURS
from server.settings.document import ROOT
from server.settings.tables import Settings
from tests.docs.structure_map import LIFECYCLE, render, render_lifecycle, split_page

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def test_every_route_is_in_the_reference() -> None:
    reference = (ROOT / "docs" / "API_REFERENCE.md").read_text(encoding="utf-8")
    resources = build_app(Settings()).router.resources()
    missing = {
        path
        for path in (re.sub(r":[^}]*}", "}", resource.canonical) for resource in resources)
        if f" {path}`" not in reference
    }
    assert missing == set()


def test_floors_and_map_are_those_of_the_code() -> None:
    assert split_page()[1] == render(), "run: python -m tests.docs.structure_map"


def test_the_lifecycle_is_drawn_from_its_table() -> None:
    drawn = LIFECYCLE.search(split_page()[0])
    assert drawn is not None
    assert drawn[0] == render_lifecycle(), "run: python -m tests.docs.structure_map"


def test_every_flavour_is_listed_with_where_its_facts_come_from() -> None:
    text = (ROOT / "docs" / "DIALECTS.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*) \| .+ \|$", text, re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert FLAVOURS.keys() <= listed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (page.parent / target).exists(), target
