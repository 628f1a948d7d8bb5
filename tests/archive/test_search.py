"""Finding conversations: by words, whatever is typed, a page at a time."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.archive.reading import search_query
from tests.support.shelf import Shelf


async def found(kept: Shelf, words: str) -> list[str]:
    """Return the titles of what is found."""
    listing = await kept.archive.browse("me", words=words, deleted=False, before="", limit=200)
    return [summary.title for summary in listing.conversations]


@pytest.fixture
async def shelves(kept: Shelf) -> Shelf:
    """Return three conversations, each with its words in another place."""
    for title, prompt, answer in (
        ("Lighthouses", "What are they for?", "They warn ships of rocks."),
        ("Cooking", "How do I boil an egg?", "In water, seven minutes. Café crème helps."),
        ("Ships", "Name a ship.", "Cutty Sark"),
    ):
        kept.now[0] += 1
        await kept.told(await kept.begin(title=title), prompt, answer)
    return kept


@pytest.mark.parametrize(
    ("words", "titles"),
    [
        ("", ["Ships", "Cooking", "Lighthouses"]),
        ("   ", ["Ships", "Cooking", "Lighthouses"]),
        ("ship", ["Ships", "Lighthouses"]),
        ("SHIPS", ["Ships", "Lighthouses"]),
        ("light", ["Lighthouses"]),
        ("boil egg", ["Cooking"]),
        ("egg rocks", []),
        ("cafe creme", ["Cooking"]),
        ("seven minutes.", ["Cooking"]),
        ("nowhere", []),
        ("***", []),
        ("cutty OR egg", []),
        ("NOT ships", []),
        ("ships -rocks", ["Lighthouses"]),
        ("text:ships", []),
        ('"ships"', ["Ships", "Lighthouses"]),
        ('"', []),
        ('ship"', ["Ships", "Lighthouses"]),
        ("ship*", ["Ships", "Lighthouses"]),
        ("ship)", ["Ships", "Lighthouses"]),
        ("^ships", ["Ships", "Lighthouses"]),
        ("ships'; DROP TABLE turn; --", []),
        ("NEAR(ships rocks)", []),
        ("\0ship", ["Ships", "Lighthouses"]),
    ],
)
async def test_words_are_words(shelves: Shelf, words: str, titles: list[str]) -> None:
    assert await found(shelves, words) == titles


@settings(max_examples=150, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    words=st.text(st.characters(codec="utf-8") | st.sampled_from('"*()^:+-{}ANDORNT '), max_size=30)
)
async def test_nothing_that_can_be_typed_is_an_error(shelves: Shelf, words: str) -> None:
    await found(shelves, words)


def test_every_word_is_quoted() -> None:
    assert search_query('a "b" c"d OR ***') == '"a"* """b"""* "c""d"* "OR"*'


async def test_what_was_found_is_shown_in_its_place(shelves: Shelf) -> None:
    listing = await shelves.archive.browse("me", words="rock", deleted=False, before="", limit=9)
    (summary,) = listing.conversations
    assert [(piece.text, piece.hit) for piece in summary.found] == [
        ("They warn ships of ", False),
        ("rocks", True),
        (". ", False),
    ]


async def test_a_new_title_is_found_and_the_old_one_is_not(shelves: Shelf) -> None:
    from server.archive.shapes import Change

    listing = await shelves.archive.browse("me", words="cooking", deleted=False, before="", limit=9)
    (summary,) = listing.conversations
    await shelves.archive.change("me", summary.id, Change(title="Kitchen"))
    assert await found(shelves, "cooking") == []
    assert await found(shelves, "kitchen") == ["Kitchen"]


async def test_a_long_list_comes_page_by_page_with_none_twice(kept: Shelf) -> None:
    for number in range(25):
        kept.now[0] += number % 2  # Several have one time.
        await kept.begin(title=f"No. {number}")
    before, seen = "", []
    while True:
        listing = await kept.archive.browse("me", words="", deleted=False, before=before, limit=7)
        seen += [summary.title for summary in listing.conversations]
        if listing.next is None:
            break
        before = listing.next
    assert seen == [f"No. {number}" for number in reversed(range(25))]
