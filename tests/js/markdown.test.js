import assert from 'node:assert/strict';
import { test } from 'node:test';

import spec from 'commonmark-spec';

import { normal, paper } from './paper.js';

/** A generator of numbers that is the same each time. */
function* numbers(seed) {
  for (let state = seed; ;) yield (state = (state * 48271) % 2147483647) / 2147483647;
}

/** Cut into pieces of 1 to 12 units, never within a character. */
function cut(text, seed) {
  const characters = [...text];
  const pieces = [];
  for (const number of numbers(seed)) {
    if (characters.length === 0) return pieces;
    pieces.push(characters.splice(0, 1 + Math.floor(number * 12)).join(''));
  }
}

function expect(markdown, html, seed) {
  const whole = paper([markdown]).html;
  assert.equal(normal(whole), normal(html), JSON.stringify(markdown));
  assert.equal(paper([...markdown]).html, whole, `character by character: ${JSON.stringify(markdown)}`);
  assert.equal(paper(cut(markdown, seed)).html, whole, `in pieces: ${JSON.stringify(markdown)}`);
}

const range = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

/** The examples of CommonMark 0.31.2 that are shown in another way, and why. */
const DIFFERENCES = {
  'text that is underlined is no heading: it is on the page before the line below it comes':
    [59, ...range(80, 84), 86, 89, 90, 91, 95, 96, 102, 103, 115, 141, 300],
  'a link has its address with it: definitions may come after what they define':
    [23, 33, ...range(192, 196), 198, ...range(200, 208), 210, ...range(214, 218), 317, ...range(527, 545), 549, 550,
      ...range(553, 571), 573, 575, 576, 577, ...range(582, 589), 591, 592, 593],
  'raw HTML is text':
    [21, 31, ...range(148, 191), 308, 309, 344, 475, 476, 477, 491, 494, 524, ...range(613, 617), 623, ...range(625, 631), 642, 643],
  'only frequent names of characters are known': [25],
  'a backslash before a parenthesis or a bracket begins mathematics, if it ends': [12],
  'a link in the words of a picture is text, and emphasis in them is kept': [520, 574],
  'only http, https and mailto lead anywhere': [596, 598, 599, 601],
  'an address in running text is a link, as on GitHub': [602, 608, 611],
};

test('the examples of CommonMark read as they should, however they are cut, but for the differences', () => {
  const different = new Map(Object.entries(DIFFERENCES).flatMap(([why, numbers]) => numbers.map((number) => [number, why])));
  assert.ok(spec.tests.length > 600);
  for (const { number, markdown, html } of spec.tests) {
    const text = markdown.replaceAll('→', '\t');
    const wanted = normal(html.replaceAll('→', '\t'));
    const whole = paper([text]).html;
    if (different.has(number)) assert.notEqual(normal(whole), wanted, `${number} is no difference any more`);
    else assert.equal(normal(whole), wanted, `${number}: ${JSON.stringify(text)}`);
    assert.equal(paper([...text]).html, whole, `${number}, character by character`);
    for (let seed = 1; seed <= 2; seed += 1) assert.equal(paper(cut(text, seed * number)).html, whole, `${number}, in pieces`);
  }
});

const TABLE = '<table><thead><tr><th>a</th><th align="right">b</th></tr></thead>';
const OTHERS = [
  // Tables
  ['| a | b |\n|---|--:|\n', `${TABLE}</table>`],
  ['| a | b |\n|---|--:|\n| 1 | *2* |\n|3|\n', `${TABLE}<tbody><tr><td>1</td><td align="right"><em>2</em></td></tr><tr><td>3</td><td align="right"></td></tr></tbody></table>`],
  ['|a|b|\n|-|-:|\n| 1 | 2 | 3 |\nx | y\n\nend', `${TABLE}<tbody><tr><td>1</td><td align="right">2</td></tr><tr><td>x</td><td align="right">y</td></tr></tbody></table><p>end</p>`],
  ['| a |\n| :-: |\n| `x\\|y` \\| z \\* |\n| | b |\n> q', '<table><thead><tr><th align="center">a</th></tr></thead><tbody><tr><td align="center"><code>x|y</code> | z *</td></tr><tr><td align="center"></td></tr></tbody></table><blockquote><p>q</p></blockquote>'],
  ['As follows:\n| a | b |\n|---|--:|\nx', `<p>As follows:</p>${TABLE}<tbody><tr><td>x</td><td align="right"></td></tr></tbody></table>`],
  ['- x\n\n  | a | b |\n  |---|--:|\n- y', `<ul><li><p>x</p>${TABLE}</table></li><li><p>y</p></li></ul>`],
  ['| a | b |\n|---|\n', '<p>| a | b |\n|---|</p>'],
  ['| a |\n---\n', '<p>| a |</p><hr />'],
  ['|x| is 3\nand so on', '<p>|x| is 3\nand so on</p>'],
  ['| a<br>b |\n|-|', '<table><thead><tr><th>a<br />\nb</th></tr></thead></table>'],
  ['Name | Age\n--- | --:\nAnn | *5*\n', '<table><thead><tr><th>Name</th><th align="right">Age</th></tr></thead><tbody><tr><td>Ann</td><td align="right"><em>5</em></td></tr></tbody></table>'],
  ['- x\n\n  a | **b** | `c`\n  :-|-|-\n  1\n- y', '<ul><li><p>x</p><table><thead><tr><th align="left">a</th><th><strong>b</strong></th><th><code>c</code></th></tr></thead><tbody><tr><td align="left">1</td><td></td><td></td></tr></tbody></table></li><li><p>y</p></li></ul>'],
  ['a | b\n---\nc | d\n- | -\n\ne | f\n- g', '<p>a | b</p><hr /><table><thead><tr><th>c</th><th>d</th></tr></thead></table><p>e | f</p><ul><li>g</li></ul>'],
  ['a | b\nc\n-|-', '<p>a | b\nc\n-|-</p>'],
  // Strikethrough
  ['~~a *b* c~~ ~d~ ~~~e~~~', '<p><del>a <em>b</em> c</del> ~d~ ~~~e~~~</p>'],
  ['about ~5 or ~~ 6', '<p>about ~5 or ~~ 6</p>'],
  // Tasks
  ['- [ ] a\n- [x] b\n- [c] d\n- [ ]', '<ul><li>☐ a</li><li>☑ b</li><li>[c] d</li><li>[ ]</li></ul>'],
  ['1. [x] **a**', '<ol><li>☑ <strong>a</strong></li></ol>'],
  // Beside Chinese, Japanese and Korean
  ['**注意：**请先备份。', '<p><strong>注意：</strong>请先备份。</p>'],
  ['**颜色（可选）**红 含**「要点」**的 **価格:**三', '<p><strong>颜色（可选）</strong>红 含<strong>「要点」</strong>的 <strong>価格:</strong>三</p>'],
  ['**太字。**続き。~~旧（已删）。~~新 **"인용"**은 这是*“引用”*的', '<p><strong>太字。</strong>続き。<del>旧（已删）。</del>新 <strong>&quot;인용&quot;</strong>은 这是<em>“引用”</em>的</p>'],
  ['**Note:**the 2**3 **"Q"**word **a **b** c', '<p><strong>Note:</strong>the 2**3 <strong>&quot;Q&quot;</strong>word **a <strong>b</strong> c</p>'],
  // Headings without a space
  ['##Next\n#tag\n###**a**', '<h2>Next</h2><p>#tag</p><h3><strong>a</strong></h3>'],
  // Small elements
  ['H<sub>2</sub>O<br/>x<sup>*2</sup>, <kbd>a</kbd> <sub>a</sup> <sub><b>c</b></sub>', '<p>H<sub>2</sub>O<br />\nx<sup>*2</sup>, <kbd>a</kbd> &lt;sub&gt;a&lt;/sup&gt; &lt;sub&gt;&lt;b&gt;c&lt;/b&gt;&lt;/sub&gt;</p>'],
  ['&alpha;&Omega; &rArr; &constructor;', '<p>αΩ ⇒ &amp;constructor;</p>'],
  // Fences as models write them
  ['```markdown\n# T\n\n```python\nprint(1)\n```\n\n~~~js\n```\n~~~\nend\n```\nafter', '<pre><code class="language-markdown"># T\n\n```python\nprint(1)\n```\n\n~~~js\n```\n~~~\nend\n</code></pre><p>after</p>'],
  ['```md\n````js\n```\n````\n```\nx', '<pre><code class="language-md">````js\n```\n````\n</code></pre><p>x</p>'],
  ['```js\n```py\n```\nx', '<pre><code class="language-js">```py\n</code></pre><p>x</p>'],
  ['text:```lang\ncode\n```\nafter', '<p>text:</p><pre><code class="language-lang">code\n</code></pre><p>after</p>'],
  ['- a ```js \n  b\n  c``` \n- d', '<ul><li>a<pre><code class="language-js">b\nc\n</code></pre></li><li>d</li></ul>'],
  ['a ```js b\n``` c ```js\nd `e` ``f\ng``', '<p>a <code>js b </code> c ```js\nd <code>e</code> <code>f g</code></p>'],
  ['use ```\n\nb \\```js\nc\n# ```js\nd', '<p>use ```</p><p>b ```js\nc</p><h1>```js</h1><p>d</p>'],
  // Addresses
  ['(see https://a.example/x_(y)_z?q=1&b=2).', '<p>(see <a href="https://a.example/x_(y)_z?q=1&amp;b=2">https://a.example/x_(y)_z?q=1&amp;b=2</a>).</p>'],
  ['**https://a.example/**, xhttps://b.example', '<p><strong><a href="https://a.example/">https://a.example/</a></strong>, xhttps://b.example</p>'],
  ['[https://a.example](https://b.example)', '<p><a href="https://b.example">https://a.example</a></p>'],
  // Mathematics
  ['$a_1 * b_2 * c$ and \\(x_1 *y* z\\)', '<p><math>$a_1 * b_2 * c$</math> and <math>\\(x_1 *y* z\\)</math></p>'],
  ['\\[\na * b\n+ c_1 \\\\\n- d\n\\]\nthen *e*', '<p><math>\\[\na * b\n+ c_1 \\\\\n- d\n\\]</math>\nthen <em>e</em></p>'],
  ['$$\n# x_1\n$$', '<p><math>$$\n# x_1\n$$</math></p>'],
  ['设$x$为数，$2 \\times 3$, $-1$ and *$y$*', '<p>设<math>$x$</math>为数，<math>$2 \\times 3$</math>, <math>$-1$</math> and <em><math>$y$</math></em></p>'],
  ['$5 and *maybe* $10', '<p>$5 and <em>maybe</em> $10</p>'],
  ['$5 and that is 10$', '<p>$5 and that is 10$</p>'],
  ['US$5 or A$6$; $5/month or 7$ a day', '<p>US$5 or A$6$; $5/month or 7$ a day</p>'],
  ['echo $HOME/$PATH, $HOME:x$', '<p>echo $HOME/$PATH, $HOME:x$</p>'],
  ['| $a$ |\n|--|\n', '<table><thead><tr><th><math>$a$</math></th></tr></thead></table>'],
  ['\\(never *ended*', '<p>(never <em>ended</em></p>'],
  // Pictures
  ['[![a](https://b.example/c.svg)](https://d.example)', '<p><a href="https://d.example"><a href="https://b.example/c.svg">a</a></a></p>'],
  // Ends of lines
  ['a\r\nb\r\n\r\n- c\r\n', '<p>a\nb</p><ul><li>c</li></ul>'],
  ['a\0b', '<p>a\ufffdb</p>'],
  // Ends in the middle
  ['**a', '<p>**a</p>'],
  ['a `b', '<p>a `b</p>'],
  ['[a](https://b', '<p>[a](<a href="https://b">https://b</a></p>'],
  ['```js\nx', '<pre><code class="language-js">x\n</code></pre>'],
  ['| a | b |', '<p>| a | b |</p>'],
  ['👩‍🚀**a**👩‍🚀 *＊b*', '<p>👩‍🚀<strong>a</strong>👩‍🚀 <em>＊b</em></p>'],
];

test('what is not in CommonMark reads as on GitHub, and mathematics is told from prices', () => {
  for (const [index, [markdown, html]] of OTHERS.entries()) expect(markdown, html, index + 1);
});

test('an answer of any shape is the same, however it is cut', () => {
  const parts = ['*', '**', '_', '`', '```', '~~', '[', '](', ')', '!', '<', '>', '&amp;', '\\', '\\(', '\\)', '$', '$$', '|', '|-|', '-',
    '- ', '1. ', '# ', '    ', '\t', ' ', '  ', '\n', '\n', '\n\n', '\r\n', 'a', 'word', 'https://', 'é', '👍', '"', ':', 'h', '=', '+ ',
    '```md', 'a | b', '\n-|-\n', '：', '字', '<sub>', '</sub>', '[x] '];
  const random = numbers(7);
  const pick = () => parts[Math.floor(random.next().value * parts.length)];
  for (let n = 0; n < 3000; n += 1) {
    const text = Array.from({ length: 1 + Math.floor(random.next().value * 40) }, pick).join('');
    const whole = paper([text]).html;
    assert.equal(paper([...text]).html, whole, JSON.stringify(text));
    assert.equal(paper(cut(text, n + 1)).html, whole, JSON.stringify(text));
  }
});

test('no word is lost', () => {
  const text = 'One *two* three.\n\n- four `five`.\n- six.\n\n> seven.\n\n| eight. |\n|---|\n| nine. |\n\n```\nten\n```\n';
  assert.deepEqual(paper([text]).words.match(/\w+/g), ['One', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten']);
});
