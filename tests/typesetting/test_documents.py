"""Markdown of answers as HTML that stands alone: as the page shows it, and safe."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.typesetting.documents import render_markdown

X = "<math><mi>x</mi></math>"
TABLE = (
    f"<table>\n<thead>\n<tr>\n<th>{X}</th>\n</tr>\n</thead>\n"
    "<tbody>\n<tr>\n<td><code>$x$</code></td>\n</tr>\n</tbody>\n</table>"
)
SEEN = "https://a.b/x_(y)_z?q=1&amp;c=2"
PRICES = "$5 and <em>maybe</em> $10, US$5 or A$6, $5 and that is 10$"


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("# a\n\n*b* **c**", "<h1>a</h1>\n<p><em>b</em> <strong>c</strong></p>"),
        ("~~d~~ `e`", "<p><s>d</s> <code>e</code></p>"),
        ("- [x] a\n- [ ] b\n\n[x] c", "<ul>\n<li>☑ a</li>\n<li>☐ b</li>\n</ul>\n<p>[x] c</p>"),
        ("```p\n1 < 2\n```", '<pre tabindex="0"><code class="language-p">1 &lt; 2\n</code></pre>'),
        ("<b>a</b>", "<p>&lt;b&gt;a&lt;/b&gt;</p>"),
        ("[a](https://b.c)", '<p><a href="https://b.c">a</a></p>'),
        ("[d](javascript:e)", "<p>[d](javascript:e)</p>"),
        ("![a *b*](https://c.d/e.png)", '<p><a href="https://c.d/e.png">a b</a></p>'),
        ("![](https://c.d)", '<p><a href="https://c.d">picture</a></p>'),
        ("(https://a.b/x_(y)_z?q=1&c=2).", f'<p>(<a href="{SEEN}">{SEEN}</a>).</p>'),
        ("xhttps://b.c https://", "<p>xhttps://b.c https://</p>"),
        ("[https://a.b](https://c.d)", '<p><a href="https://c.d">https://a.b</a></p>'),
        ("$x$ and \\(x\\)", f"<p>{X} and {X}</p>"),
        ("设$x$为数", f"<p>设{X}为数</p>"),
        (
            "\\[\nx\n\n\\]\nthen",
            '<p><math display="block"><mi>x</mi></math></p>\n<p>then</p>',
        ),
        ("a $$x$$ b", '<p>a <math display="block"><mi>x</mi></math> b</p>'),
        ("$5 and *maybe* $10, US$5 or A$6, $5 and that is 10$", f"<p>{PRICES}</p>"),
        ("$\\foo<$ $$ open", "<p>$\\foo&lt;$ $$ open</p>"),
        ("\\\\(x\\\\)", "<p>\\(x\\)</p>"),
        ("| $x$ |\n|--|\n| `$x$` |", TABLE),
    ],
)
def test_an_answer_is_rendered_as_on_the_page(markdown: str, html: str) -> None:
    assert render_markdown(markdown).strip() == html


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


PIECES = ["<script>", "<img src=x onerror=y>", "[a](", "![", "](", ")", "javascript:x", "\\("]
PIECES += ["\\)", "$", "$$", "\\[", "\\]", "`", "```", "\n", "\n\n", "> ", "- ", "1. ", "|", "|-|"]
PIECES += ["https://a.b", '"', "'", "&lt;", "&", "<", ">", "x", " ", "\\text{", "}", "{", "^", "\0"]
PIECES += ["*", "_"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_whatever_is_written_no_script_and_no_address_of_another_kind_comes_of_it(
    text: str,
) -> None:
    page = Elements()
    page.feed(render_markdown(text))
    for tag, attributes in page.found:
        assert tag not in {"script", "img", "style", "iframe", "object", "form"}
        assert not [name for name in attributes if name.startswith("on") or name == "src"]
        assert re.match(r"https?://|mailto:", attributes.get("href") or "https://")
