"""Blind rounds: what is hidden, the vote, what other windows see, the scores and their reset."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.browser.gateway import Gateway
from tests.browser.helpers import ask, axe_violations, begin, column, limit, open_page
from tests.browser.watch import Watch

pytestmark = pytest.mark.needs_chromium

# Of an earlier page, which had its votes in the browser.
OLD = [{"kind": "best", "best": "x", "names": {"x": "Small", "y": "Brief"}}]
# A time, a rate or a count, as the page writes them.
FIGURE = re.compile(r"\d (s|ms|min|/s|tokens?)\b|\d+k of")


def names(page: Page) -> list[str]:
    # A name may stand in two parts, of which the first is cut where there is no room.
    return page.locator("answer-column h2").all_text_contents()


def bar(page: Page) -> Locator:
    return page.get_by_role("group", name="Vote", exact=True)


def best(page: Page, letter: str) -> Locator:
    return column(page, f"Model {letter}").get_by_role("button", name=f"{letter} is best")


def votes_of(page: Page, gateway: Gateway) -> list[dict[str, object]]:
    listed: list[dict[str, object]] = page.request.get(f"{gateway.url}votes").json()["votes"]
    return listed


def failed_letter(page: Page) -> str:
    """Return the letter of the column that cannot win."""
    places = page.locator(".vote-place")
    expect(places.filter(has_text="cannot win")).to_have_text("Failed: cannot win")
    texts = [place.inner_text() for place in places.all()]
    return "ABC"[next(at for at, text in enumerate(texts) if "cannot win" in text)]


def assert_hidden(page: Page) -> None:
    """Assert that nothing in sight tells one model from another."""
    assert names(page) == ["Model A", "Model B", "Model C"]
    seen = page.locator("chat-board").inner_text()
    assert not FIGURE.search(seen), seen
    for word in ("Broken", "Brief", "First token", "Complete", "Length limit", "/nowhere"):
        assert word not in seen, seen
    for hidden in (".figures", ".race", ".gauge", ".footnote", ".remarks", ".column-state"):
        for one in page.locator(f"answer-column {hidden}").all():
            expect(one).to_be_hidden()


@pytest.mark.timeout(400)
def test_a_round_is_blind_until_the_vote_and_the_vote_counts_everywhere(
    page: Page, context: BrowserContext, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    open_page(page, gateway.url)
    page.request.delete(f"{gateway.url}votes")
    page.evaluate("(votes) => localStorage.setItem('sidestream.votes', votes)", json.dumps(OLD))
    begin(page, gateway.url, "Small", "Brief", "Broken", tokens=12)
    # What an earlier page kept in the browser is the server's now.
    page.wait_for_function("localStorage.getItem('sidestream.votes') === '[]'")
    (taken,) = votes_of(page, gateway)
    assert taken["verdict"] == "better"

    page.get_by_role("button", name="Blind").click()
    expect(bar(page)).to_contain_text("your next prompt begins a round")
    ask(page, "Say hello.")
    expect(bar(page)).to_contain_text("Which answer is best?")
    failed = failed_letter(page)
    one, other = (letter for letter in "ABC" if letter != failed)
    assert_hidden(page)
    page.screenshot(path=artifacts / "blind-before.png")
    assert axe_violations(page) == []

    page.reload()
    expect(best(page, one)).to_be_enabled()
    assert_hidden(page)
    second = context.new_page()
    open_page(second, gateway.url)
    second.get_by_role("tab", name="Chats").click()
    second.locator("chat-list").get_by_role("button", name="Say hello.", exact=True).first.click()
    expect(best(second, other)).to_be_enabled()
    assert_hidden(second)

    # In a prompt that has begun a figure is a figure; a failed answer does not win by its key.
    field = page.get_by_role("textbox", name="Prompt")
    field.fill("Say ")
    field.press("End")
    field.press("1")
    expect(field).to_have_value("Say 1")
    assert_hidden(page)
    field.fill("")
    page.locator(".columns").click(position={"x": 3, "y": 3})
    page.keyboard.press(str("ABC".index(failed) + 1))
    assert_hidden(page)
    # The focus is in the field after a prompt: there, too, the keys at the buttons vote.
    field.press(str("ABC".index(one) + 1))
    expect(field).to_have_value("")
    expect(bar(page)).to_contain_text("You preferred")
    assert sorted(names(page)) == ["Brief", "Broken", "Small"]
    winner = names(page)["ABC".index(one)]
    expect(bar(page)).to_contain_text(f"You preferred {winner}.")
    expect(column(page, winner).locator(".vote-place")).to_have_text("✓ Your vote")
    expect(column(page, winner).locator(".figures")).to_be_visible()
    expect(column(page, "Broken").locator(".notice")).to_contain_text("/nowhere")
    won = 2 if winner == "Small" else 1
    line = bar(page).get_by_role("listitem").filter(has_text=winner)
    expect(line).to_have_text(f"{winner} {won} of 2")
    page.screenshot(path=artifacts / "blind-after.png")
    assert axe_violations(page) == []
    # The other window shows the same vote, and no longer offers one.
    expect(bar(second)).to_contain_text(f"You preferred {winner}. That was in another window.")
    assert names(second) == names(page)
    second.close()

    bar(page).get_by_role("button", name="Next round").click()
    expect(field).to_be_focused()
    expect(page.get_by_role("heading", name="Ask once, compare the answers")).to_be_visible()
    ask(page, "Say goodbye.")
    expect(bar(page)).to_contain_text("Which answer is best?")
    assert_hidden(page)
    bar(page).get_by_role("button", name="Tie").click()
    expect(bar(page)).to_contain_text("You called it a tie.")
    bar(page).get_by_role("button", name="Take the vote back").click()
    expect(bar(page)).to_contain_text("The vote was taken back.")
    assert len(votes_of(page, gateway)) == 2

    ask(page, "Say nothing.")
    expect(bar(page)).to_contain_text("Which answer is best?")
    # Without the wish for blind rounds, the open one is still one.
    page.get_by_role("button", name="Blind").click()
    expect(bar(page)).to_contain_text("This round stays blind until a vote or")
    assert_hidden(page)
    page.screenshot(path=artifacts / "blind-off.png")
    page.get_by_role("button", name="Blind").click()
    expect(bar(page)).not_to_contain_text("stays blind")
    bar(page).get_by_role("button", name="Reveal without voting").click()
    expect(bar(page)).to_contain_text("Revealed without a vote.")
    assert sorted(names(page)) == ["Brief", "Broken", "Small"]
    assert len(votes_of(page, gateway)) == 2

    bar(page).get_by_role("button", name="All scores…").click()
    scores = page.get_by_role("dialog", name="Scores of blind rounds")
    expect(scores.get_by_role("status")).to_have_text("2 votes in all.")
    expect(scores.get_by_role("row").filter(has_text="Small")).to_have_text(
        "Small2" + "02" if won == 2 else "Small102"
    )
    page.screenshot(path=artifacts / "blind-scores.png")
    scores.get_by_role("button", name="Reset…").click()
    expect(scores.get_by_role("group", name="Reset")).to_contain_text("Delete all 2 votes?")
    scores.get_by_role("button", name="Keep them").click()
    scores.get_by_role("button", name="Reset…").click()
    scores.get_by_role("button", name="Delete them").click()
    expect(scores.get_by_role("status")).to_have_text("2 votes deleted.")
    expect(scores.get_by_role("row")).to_have_count(0)
    assert votes_of(page, gateway) == []
    scores.get_by_role("button", name="Undo").click()
    expect(scores.get_by_role("status")).to_have_text("2 votes restored.")
    assert len(votes_of(page, gateway)) == 2
    assert axe_violations(page) == []
    assert watch.complaints == []


@pytest.mark.timeout(240)
def test_on_a_phone_a_vote_stands_at_each_answer(
    browser: Browser, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, color_scheme="dark"
    )
    page = context.new_page()
    watch.follow(page)
    open_page(page, gateway.url)
    page.evaluate(
        """() => {
          const columns = ['small', 'brief'].map((id) => ({ id, model: id }));
          localStorage.setItem('sidestream.columns', JSON.stringify(columns));
          localStorage.setItem('sidestream.settings', JSON.stringify({ isBlind: true }));
        }"""
    )
    open_page(page, gateway.url)
    limit(page, 12)
    ask(page, "Name a colour.")
    expect(best(page, "A")).to_be_enabled()
    page.screenshot(path=artifacts / "blind-phone-before.png")
    assert axe_violations(page) == []
    best(page, "B").scroll_into_view_if_needed()
    best(page, "B").tap()
    expect(bar(page)).to_contain_text("You preferred")
    page.screenshot(path=artifacts / "blind-phone-after.png")
    assert axe_violations(page) == []
    assert watch.complaints == []
    context.close()
