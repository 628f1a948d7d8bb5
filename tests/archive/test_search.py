"""Finding conversations: by words, whatever is typed, a page at a time."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.archive.excerpts import Search, title_of, without_signs
from server.archive.shapes import Change, Changes
from server.archive.words import words_of
from server.core.errors import InvalidCommand, UnknownConversation
from tests.support.stored_conversations import StoredConversations, write


async def found(
    stored: StoredConversations, words: str, *, with_reasoning: bool = False
) -> list[str]:
    """Return the titles of what is found."""
    listing = await stored.archive.browse(
        "me", words=words, with_reasoning=with_reasoning, deleted=False, before="", limit=200
    )
    return [summary.title for summary in listing.conversations]


@pytest.fixture
async def several(stored: StoredConversations) -> StoredConversations:
    """Return three conversations, each with its words in another place."""
    for title, prompt, answer in (
        ("Lighthouses", "What are they for?", "They warn ships of rocks."),
        ("Cooking", "How do I boil an egg?", "In water, seven minutes. Café crème helps."),
        ("Ships", "Name a ship.", "Cutty Sark"),
    ):
        stored.now[0] += 1
        await stored.told(await stored.begin(title=title), prompt, answer)
    return stored


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
async def test_words_are_words(several: StoredConversations, words: str, titles: list[str]) -> None:
    assert await found(several, words) == titles


@settings(max_examples=150, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    words=st.text(st.characters(codec="utf-8") | st.sampled_from('"*()^:+-{}ANDORNT '), max_size=30)
)
async def test_nothing_that_can_be_typed_is_an_error(
    several: StoredConversations, words: str
) -> None:
    await found(several, words)
    await found(several, words, with_reasoning=True)


def test_every_word_is_quoted() -> None:
    assert Search('a "b" c"d OR ***').query == '"a"* "b"* "c d"* "or"*'


@pytest.mark.parametrize(
    ("text", "words", "hits"),
    [
        ("東京都に行きました。重要なお知らせです", "京都", ["京都"]),
        (
            "東京都に行きました。重要なお知らせです",
            "行きました お知らせ",
            ["行きました", "お知らせ"],
        ),
        ("東京都に行きました。", "都", ["都"]),
        ("東京都に行きました。", "都京", None),
        ("北京大学", "北京 大学", ["北京", "大学"]),
        ("ﾃｽﾄを見る", "テスト", ["ﾃｽﾄ"]),
        ("서울에서 만나요", "에서", ["에서"]),
        ("กรุงเทพมหานคร", "เทพ", ["เทพ"]),
        ("भारत में हिन्दी", "हिन्दी", ["हिन्दी"]),
        ("Die Straße", "strasse", ["Straße"]),
        ("Die Strasse", "straße", ["Strasse"]),
        ("Ёлка и мёд", "елка мед", ["Ёлка", "мёд"]),
        ("قَرَأَ الكِتَابَ", "الكتاب", ["الكِتَابَ"]),
        ("שָׁלוֹם", "שלום", ["שָׁלוֹם"]),
        ("ΣΊΣΥΦΟΣ", "σισυφος", ["ΣΊΣΥΦΟΣ"]),
        ("Café de\u0301ja\u0300", "deja", ["déjà"]),
        ("前のﾃﾞｰﾀGPTの話", "gpt", ["GPT"]),
        ("\uff27\uff30\uff34です", "gpt", ["\uff27\uff30\uff34"]),
        ("Lunch: 🍣!", "🍣", ["🍣"]),
        ("call open_file() twice", "open_file", ["open_file"]),
        ("a café", "fé", None),
    ],
)
async def test_words_of_every_script_are_found_and_shown(
    stored: StoredConversations, text: str, words: str, hits: list[str] | None
) -> None:
    await stored.told(await stored.begin(title="Found"), "Well?", f"Before.\n\n{text}\n\nAfter.")
    listing = await stored.archive.browse("me", words=words)
    marked = [[one.text for one in found.found if one.hit] for found in listing.conversations]
    assert marked == ([] if hits is None else [hits])


@given(text=st.text(max_size=60))
def test_a_text_finds_itself(text: str) -> None:
    """What is folded is folded for good, so that the index and a search agree."""
    words = words_of(text)
    assert words_of(words) == words
    marked = Search(text).mark(text)
    assert bool(words) == any(piece.hit for piece in marked) or not text.split()
    assert "".join(piece.text for piece in marked) in ("", text)


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        (
            "## A **bold** `co*d*e` [word](https://a.example/b_(c)) ![pic](x.png)",
            "A bold co*d*e word pic",
        ),
        ("- [ ] a _task_, snake_case and 2 * 3 * 4", "a task, snake_case and 2 * 3 * 4"),
        ("> 1. a quote \\*as it is\\*", "a quote *as it is*"),
        ("| one | **two** |", "one two"),
        ("|---|:-:|", ""),
        ("```python", ""),
        ("**東京**は~~大阪~~", "東京は大阪"),
    ],
)
def test_snippets_have_no_markdown_signs(line: str, plain: str) -> None:
    assert without_signs(line) == plain


def test_a_hit_in_a_long_line_is_shown_with_what_is_beside_it() -> None:
    text = "first line\n" + "word " * 3_000 + "**the needle** here" + " word" * 3_000
    pieces = Search("needle").excerpt(text)
    assert [piece.text for piece in pieces if piece.hit] == ["needle"]
    whole = "".join(piece.text for piece in pieces)
    assert "the needle here" in whole
    assert (whole[0], whole[-1], len(whole) < 200) == ("…", "…", True)


def test_a_hit_that_no_line_shows_is_shown_as_it_was_written() -> None:
    for text, words in (("[a](https://hidden.example)", "hidden"), ("行き\nました", "行きました")):
        assert any(piece.hit for piece in Search(words).excerpt(text))


async def test_where_it_was_found_is_told(several: StoredConversations) -> None:
    name = await several.begin(title="Rocks everywhere")
    await several.told(name, "Where is granite?", "In **hills**.", reasoning="Basalt?")
    (turn,), (answer,) = (loaded := await several.load(name)).turns, loaded.answers
    for words, part, turn_id, answer_id, text in (
        ("granite", "prompt", turn.id, None, "Where is granite?"),
        ("hills", "answer", turn.id, answer.id, "In hills."),
        ("basalt", "thinking", turn.id, answer.id, "Basalt?"),
        ("everywhere", "title", None, None, "Rocks everywhere"),
    ):
        listing = await several.archive.browse("me", words=words, with_reasoning=True)
        (found,) = listing.conversations
        place = found.found_in
        assert place is not None
        assert (place.part, place.turn, place.answer) == (part, turn_id, answer_id)
        assert "".join(piece.text for piece in found.found) == text
    assert [piece.hit for piece in found.found_title] == [False, True]


async def test_pins_and_tags_choose_what_is_listed(several: StoredConversations) -> None:
    archive = several.archive
    by_title = {one.title: one.id for one in (await archive.browse("me")).conversations}
    for title, tags in (
        ("Ships", ["sea", "work"]),
        ("Cooking", ["home"]),
        ("Lighthouses", ["sea"]),
    ):
        await archive.change("me", by_title[title], Change(tags=tags))
    await archive.change("me", by_title["Cooking"], Change(pinned=True))

    async def titles(**wanted: Any) -> list[str]:
        return [one.title for one in (await archive.browse("me", **wanted)).conversations]

    assert await titles(pinned=True) == ["Cooking"]
    assert await titles(pinned=False) == ["Ships", "Lighthouses"]
    assert await titles(tag="sea") == ["Ships", "Lighthouses"]
    assert await titles(tag="sea", words="rocks") == ["Lighthouses"]
    assert await titles(tag="nowhere") == []
    counts = [(one.name, one.conversations) for one in (await archive.tags("me")).tags]
    assert counts == [("home", 1), ("sea", 2), ("work", 1)]
    assert (await archive.tags("other")).tags == []
    loaded = await several.load(by_title["Ships"])
    assert (loaded.tags, loaded.pinned) == (["sea", "work"], False)


async def test_several_are_changed_together_or_not_at_all(several: StoredConversations) -> None:
    archive = several.archive
    ids = [one.id for one in (await archive.browse("me")).conversations]
    changed = await archive.change_several("me", Changes(ids[:2], add_tags=["a"], pinned=True))
    assert [(one.id, one.tags, one.pinned) for one in changed.conversations] == [
        (ids[0], ["a"], True),
        (ids[1], ["a"], True),
    ]
    for changes in (
        Changes([*ids, "c_none"], deleted=True),
        Changes(ids, add_tags=[f"n{number}" for number in range(20)], deleted=True),
    ):
        with pytest.raises((UnknownConversation, InvalidCommand)):
            await archive.change_several("me", changes)
    assert len((await archive.browse("me")).conversations) == 3
    await archive.change_several("me", Changes(ids, deleted=True, remove_tags=["a"]))
    assert (await archive.browse("me")).conversations == []
    restored = await archive.change_several("me", Changes(ids[1:], deleted=False))
    assert [(one.deleted, one.tags) for one in restored.conversations] == [(None, []), (None, [])]
    with pytest.raises(UnknownConversation):
        await archive.change_several("other", Changes(ids[1:], deleted=True))


async def test_how_many_answers_are_under_way_is_told(stored: StoredConversations) -> None:
    log = await stored.ask(await stored.begin())
    write(log, "Half of")
    (one,) = (await stored.archive.browse("me")).conversations
    assert one.answering == 1
    write(log, "it", ends=True)
    (one,) = (await stored.archive.browse("me")).conversations
    assert one.answering == 0


@pytest.mark.parametrize(
    ("prompt", "title"),
    [
        ("\n\n# Plan **the** trip\nmore", "Plan the trip"),
        ("```python\nprint('a')\n```", "print('a')"),
        ("***", "***"),
        ("東" * 100, "東" * 79 + "…"),
        ("word " * 40, "word " * 15 + "word…"),
    ],
)
def test_a_title_is_the_first_line_that_says_something(prompt: str, title: str) -> None:
    assert title_of(prompt) == title


async def test_hits_are_shown_with_the_text_around_them(several: StoredConversations) -> None:
    listing = await several.archive.browse("me", words="rock", deleted=False, before="", limit=9)
    (summary,) = listing.conversations
    assert [(piece.text, piece.hit) for piece in summary.found] == [
        ("They warn ships of ", False),
        ("rocks", True),
        (".", False),
    ]


async def test_thinking_is_searched_only_when_asked_for(several: StoredConversations) -> None:
    name = await several.begin(title="Riddles")
    await several.told(name, "What am I?", "A shadow.", reasoning="Perhaps a rock or a lamp?")
    for words, without, with_reasoning in (
        ("lamp", [], ["Riddles"]),
        ("shadow", ["Riddles"], ["Riddles"]),
        ("rock", ["Lighthouses"], ["Riddles", "Lighthouses"]),
        ("lamp shadow", [], []),
    ):
        assert await found(several, words) == without
        assert await found(several, words, with_reasoning=True) == with_reasoning
    listing = await several.archive.browse(
        "me", words="lamp", with_reasoning=True, deleted=False, before="", limit=9
    )
    (summary,) = listing.conversations
    assert [piece.text for piece in summary.found if piece.hit] == ["lamp"]
    await several.archive.delete("me", name, forever=True)
    assert await found(several, "lamp", with_reasoning=True) == []


async def test_a_new_title_is_found_and_the_old_one_is_not(several: StoredConversations) -> None:
    listing = await several.archive.browse("me", words="cooking", deleted=False, before="", limit=9)
    (summary,) = listing.conversations
    await several.archive.change("me", summary.id, Change(title="Kitchen"))
    assert await found(several, "cooking") == []
    assert await found(several, "kitchen") == ["Kitchen"]


async def test_a_long_list_comes_page_by_page_with_none_twice(stored: StoredConversations) -> None:
    for number in range(25):
        stored.now[0] += number % 2  # Several have one time.
        await stored.begin(title=f"No. {number}")
    before, seen = "", []
    while True:
        listing = await stored.archive.browse("me", words="", deleted=False, before=before, limit=7)
        seen += [summary.title for summary in listing.conversations]
        if listing.next is None:
            break
        before = listing.next
    assert seen == [f"No. {number}" for number in reversed(range(25))]
