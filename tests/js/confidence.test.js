import assert from 'node:assert/strict';
import { test } from 'node:test';

import { readable } from '../../static/js/view/log-line.js';
import { choices, isTold, probability, step, summary, visible } from '../../static/js/view/confidence.js';

const of = (share) => Math.log(share);
const token = (text, share, top) => ({ id: text.length, text, logprob: share === null ? null : of(share), special: false, top });

test('a token is on the step that its chance reaches', () => {
  assert.deepEqual([1, 0.9001, 0.89, 0.71, 0.5, 0.2, 0.1, 0.0001].map((share) => step(of(share))), [0, 0, 1, 1, 2, 3, 4, 4]);
  assert.equal(step(null), null);
});

test('chances are said as precisely as they matter', () => {
  assert.deepEqual([1, 0.995, 0.5, 0.034, 0.00001].map((share) => probability(of(share))), ['> 99.9 %', '99.5 %', '50 %', '3.4 %', '< 0.1 %']);
  assert.equal(probability(null), 'not told');
});

test('what would not be seen is shown by signs', () => {
  assert.deepEqual([' a b ', '\n\n', '\t', '', 'é'].map(visible), ['␣a b␣', '↵↵', '⇥', '(no text)', 'é']);
});

test('without ids tokens are told apart by their text', () => {
  const other = (text, id = -1) => ({ id, text, logprob: of(0.2), special: false });
  const taken = (id) => ({ id, text: 'sea', logprob: of(0.5), special: false, top: [other('sea'), other('lake'), other('sky')] });
  for (const id of [-1, 7]) assert.deepEqual(choices(taken(id)).map(({ text }) => text), ['sea', 'lake', 'sky']);
  assert.deepEqual(choices({ ...taken(7), top: [other('sea', 7), other('sea', 8)] }).map(({ isChosen }) => isChosen), [true, false]);
});

test('the token that was taken stands among those that were weighed, once and in its place', () => {
  const top = [{ id: 9, text: 'likely', logprob: of(0.6) }, { id: 3, text: 'sea', logprob: of(0.3) }, { id: 8, text: 'no', logprob: null }];
  assert.deepEqual(choices(token('sea', 0.3, top)).map(({ text, isChosen }) => [text, isChosen]), [['likely', false], ['sea', true], ['no', false]]);
  assert.deepEqual(choices(token('sea', 0.01, top.slice(0, 1))).map(({ text }) => text), ['likely', 'sea']);
  assert.deepEqual(choices(token('sea', null)).map(({ isChosen }) => isChosen), [true]);
});

test('the whole answer is summed up in a line', () => {
  assert.equal(summary([token('a', 0.5), token('b', 0.5)]), 'As if 50 % sure of every token; none below 40 %');
  assert.equal(summary([token('a', 0.9), token('b', 0.1), token('c', null)]), 'As if 30 % sure of every token; 1 of 2 below 40 %');
  assert.equal(summary([token('a', null)]), 'The server does not tell how sure this model was.');
  assert.deepEqual([[], [token('a', null)], [token('a', null), token('b', 0.5)]].map(isTold), [false, false, true]);
});

test('log lines are shown by what they say', () => {
  const json = '{"timestamp":"2026-01-01T00:00:00Z","level":"WARN","fields":{"message":"Slow","seconds":3},"target":"x"}';
  assert.deepEqual(readable(json), { level: 'warn', text: 'Slow  seconds=3' });
  assert.deepEqual(readable('\u001b[31mred\u001b[0m\n'), { level: null, text: 'red' });
  assert.deepEqual(readable('{not json'), { level: null, text: '{not json' });
  assert.deepEqual(readable('{"a":1}'), { level: null, text: '{"a":1}' });
  assert.deepEqual(readable('{"message":"Plain","level":"info"}'), { level: null, text: 'Plain' });
});
