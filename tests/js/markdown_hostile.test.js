import assert from 'node:assert/strict';
import { test } from 'node:test';

import { safeAddress } from '../../static/js/markdown/links.js';
import { Paper, paper } from './paper.js';
import { Markdown } from '../../static/js/markdown/blocks.js';

const SIGNS = ['[', '*', '_', '>', '`', '~', '#', '-', '- ', '1. ', '|', '\\', '$', '<', '&', '!', '(', ' ', '\t', '\n', '\r', 'x',
  '[a](', '![[a](u)', '*a ', '**a* ', '_a*', '`` ` ', '$a ', '\\(', '\\[', '<a', '<a:', '&a', 'https://', '> - ', '|-|\n', '~~a', '[a](<b', '[a](u "', '(('];

/** All elements, with how deep the deepest is. */
function elements(node, depth = 0) {
  return node.children.filter((child) => child.tag).flatMap((child) => [{ ...child, depth }, ...elements(child, depth + 1)]);
}

test('what is repeated 10,000 times is read whole and character by character alike, and nests within bounds', () => {
  for (const sign of SIGNS) {
    const text = sign.repeat(Math.ceil(10_000 / sign.length));
    const whole = paper([text]);
    assert.ok(elements(whole.root).every(({ depth }) => depth < 300), JSON.stringify(sign));
    const short = text.slice(0, 1500);
    assert.equal(paper([...short]).html, paper([short]).html, JSON.stringify(sign));
  }
});

// Characters: more than the reader waits for at most before it writes, so that all of it comes.
const HALF = 1500;

test('what is written for a character does not grow with what stands before it', () => {
  for (const sign of SIGNS) {
    const sheet = new Paper();
    const markdown = new Markdown(sheet);
    const operations = [1, 2].map(() => {
      for (const character of sign.repeat(Math.ceil(HALF / sign.length))) markdown.append(character);
      return sheet.operations + sheet.takenBack;
    });
    assert.ok(operations[1] <= 8 * 2 * HALF, `${JSON.stringify(sign)}: ${operations[1]} for ${2 * HALF} characters`);
    assert.ok(operations[1] <= 2 * operations[0] + 2 * HALF, `${JSON.stringify(sign)}: ${operations}`);
  }
});

test('at the end of a long answer a token costs what it cost at the beginning', () => {
  const section = 'Some **bold** and `code`, [a link](https://a.example/b), and so on.\n\n1. one\n2. two\n\n```py\nx = 1\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n';
  const sheet = new Paper();
  const markdown = new Markdown(sheet);
  const costs = [];
  for (let n = 0; n < 300; n += 1) {
    const before = sheet.operations + sheet.written + sheet.takenBack;
    for (const token of section.match(/\s?[^\s]{1,4}|\s/g)) markdown.append(token);
    costs.push(sheet.operations + sheet.written + sheet.takenBack - before);
  }
  assert.deepEqual(new Set(costs.slice(1)).size, 1, 'each section costs the same');
  assert.ok(costs[1] < 4 * section.length);
});

test('plain text is written once and nothing of it is taken back', () => {
  const sheet = new Paper();
  const markdown = new Markdown(sheet);
  const text = 'What is written here has no signs at all, it only goes on. '.repeat(50);
  for (const character of text) markdown.append(character);
  markdown.end();
  assert.equal(sheet.takenBack, 0);
  assert.equal(sheet.written, text.trimEnd().length);
});

test('an element that is being written grows, and is not written anew', () => {
  const sheet = new Paper();
  const markdown = new Markdown(sheet);
  for (const character of 'So **this is said loudly** and `this is code` there') markdown.append(character);
  assert.equal(sheet.takenBack, 0);
  assert.equal(sheet.html, '<p>So <strong>this is said loudly</strong> and <code>this is code</code> there</p>\n');
});

const BAD = ['javascript:alert(1)', 'JavaScript:alert(1)', 'java\tscript:alert(1)', 'java\nscript:alert(1)', ' javascript:alert(1)',
  '\u0001javascript:alert(1)', 'java&#x09;script:alert(1)', 'javascript&colon;alert(1)', '&#106;avascript:alert(1)', 'vbscript:x',
  'data:text/html,<script>alert(1)</script>', 'file:///etc/passwd', 'blob:https://a.example/x', '//a.example', '/models', 'x', 'https:', 'http://'];

test('nothing but web and mail addresses leads anywhere', () => {
  for (const address of BAD) {
    assert.equal(safeAddress(address), '', address);
    for (const markdown of [`[a](${address})`, `[a](<${address}>)`, `<${address}>`, `![a](${address})`]) {
      for (const { attributes } of elements(paper([markdown]).root)) {
        assert.ok(!attributes.href || /^(?:https?:\/\/|mailto:)/.test(attributes.href), `${markdown}: ${attributes.href}`);
      }
    }
  }
  assert.equal(safeAddress('HTTPS://a.example/"><img src=x>'), 'https://a.example/%22%3E%3Cimg%20src=x%3E');
  assert.equal(safeAddress('mailto:a@b.example'), 'mailto:a@b.example');
});

test('no element comes from the text, but those of Markdown', () => {
  const tags = elements(paper(['<script>alert(1)</script> <img src=x onerror=y> <b>*a*</b>\n\n<iframe>\n\n```"><script>\nx\n```\n']).root).map(({ tag }) => tag);
  assert.deepEqual(tags, ['p', 'em', 'p', 'pre', 'line']);
});
