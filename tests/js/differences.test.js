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

test('two long texts with little in common are compared all the same, within bounds', () => {
  const left = Array.from({ length: 6000 }, (_, n) => `l${n}`);
  const right = Array.from({ length: 6000 }, (_, n) => `r${n}`);
  left[1000] = right[2000] = 'anchor';
  left[5000] = right[5500] = 'harbour';
  const found = differences(left.join('|'), right.join('|'));
  const common = rest(left.join('|'), found.left);
  assert.match(common, /anchor/);
  assert.match(common, /harbour/);
  const other = differences('x '.repeat(20_000), 'y '.repeat(20_000));
  assert.equal(other.left.length, 1);
});
