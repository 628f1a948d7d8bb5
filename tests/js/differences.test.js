import assert from 'node:assert/strict';
import { test } from 'node:test';

import { differences } from '../../static/js/view/differences.js';

const cut = (text, ranges) => ranges.map(({ start, end }) => text.slice(start, end));
const rest = (text, ranges) => ranges.reduceRight((left, { start, end }) => left.slice(0, start) + left.slice(end), text);

function shown(left, right) {
  const found = differences(left, right);
  return [cut(left, found.left), cut(right, found.right)];
}

test('words that differ are found, and only those', () => {
  assert.deepEqual(shown('The cat sat on the mat.', 'The dog sat on a mat.'), [['cat', 'the'], ['dog', 'a']]);
  assert.deepEqual(shown('same', 'same'), [[], []]);
  assert.deepEqual(shown('', 'all new'), [[], ['all new']]);
  assert.deepEqual(shown('one two three', 'one three'), [['two '], []]);
  assert.deepEqual(shown('東京は大きい', '京都は大きい'), [['東'], ['都']]);
  assert.deepEqual(shown('don’t go 10 km', 'don’t go 12 km'), [['10'], ['12']]);
});

test('neighbours are one range, with the space between them', () => {
  assert.deepEqual(shown('a red house stands', 'a big green house stands'), [['red'], ['big green']]);
});

test('what is common is the same in both, and nothing is marked in vain', () => {
  const words = ['the', 'a', 'cat', 'dog', 'sat', 'ran', '.', ',', 'on'];
  let state = 3;
  const pick = (count) => (state = (state * 48271) % 2147483647) % count;
  for (let n = 0; n < 400; n += 1) {
    const [left, right] = [0, 1].map(() => Array.from({ length: pick(30) }, () => words[pick(words.length)]).join(' '));
    const found = differences(left, right);
    const common = [rest(left, found.left), rest(right, found.right)].map((text) => text.replace(/\s+/g, ''));
    assert.equal(common[0], common[1], `${left}\n${right}`);
    assert.deepEqual(differences(left, left), { left: [], right: [] });
  }
});

test('sentences are compared first, and words only where most of them are the same', () => {
  const left = 'The river is long. A cat sleeps by the old mill. It rains in the town.';
  const right = 'It was a dark night. The river is long. A dog sleeps by the old mill. Nobody in the house is awake.';
  assert.deepEqual(shown(left, right), [['cat', 'It rains in the town.'], ['It was a dark night.', 'dog', 'Nobody in the house is awake.']]);
  assert.deepEqual(shown('One of the two.\n\nIt is the end.', 'The end of it.\n\nTwo is what one is.').map(({ length }) => length), [1, 1]);
  assert.deepEqual(shown('雨です。猫が寝ている。', '雨です。犬が寝ている。'), [['猫'], ['犬']]);
  assert.deepEqual(shown('- a\n- b\n- c\n', '- a\n- c\n'), [['- b'], []]);
});

test('two long texts with little in common are compared all the same, within bounds', () => {
  const left = Array.from({ length: 6000 }, (_, n) => `l${n}`);
  const right = Array.from({ length: 6000 }, (_, n) => `r${n}`);
  for (let n = 0; n < 6000; n += 1) if (n % 3) left[n] = right[n] = `both${n}`;
  const found = differences(left.join('|'), right.join('|'));
  const common = rest(left.join('|'), found.left);
  assert.match(common, /both1\|both2\|/);
  assert.match(common, /both5999/);
  assert.equal(found.left.length, 2000);
  const other = differences('x '.repeat(20_000), 'y '.repeat(20_000));
  assert.equal(other.left.length, 1);
  const many = differences('So it is. '.repeat(5000), 'It was not. '.repeat(5000));
  assert.equal(many.left.length, 1);
});
