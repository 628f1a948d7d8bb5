import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Generation } from '../../static/js/client/generation.js';
import { Answer } from '../../static/js/model/answer.js';
import { contextGauge } from '../../static/js/model/context-gauge.js';
import { outline } from '../../static/js/model/json-outline.js';
import { beginsAsStructure, isStructure } from '../../static/js/model/structured.js';
import { thinkingLine } from '../../static/js/view/answer-labels.js';
import { activity, brief, ending } from '../../static/js/view/labels.js';
import { delta, end } from './fake_socket.js';

const reasoning = (seq, text) => delta('g1', seq, text, { kind: 'reasoning' });

function asked() {
  let now = 0;
  const answer = new Answer({ model: 'small' }, () => now);
  const generation = new Generation('g1');
  answer.send();
  answer.follow(generation);
  return { answer, generation, at: (ms) => { now = ms; } };
}

test('thinking is counted and timed while it goes on, and by the server afterwards', () => {
  const { answer, generation, at } = asked();
  assert.equal(answer.thinking, null);
  at(100);
  generation.receive(reasoning(1, ''));
  assert.equal(answer.thinking, null, 'a mark alone is no thinking');
  generation.receive(reasoning(4, 'Hm hm hm'));
  at(2100);
  assert.deepEqual(answer.thinking, { isNow: true, ms: 2000, tokens: 3, isEstimated: false });
  assert.equal(activity(answer), 'Thinking');
  assert.equal(thinkingLine(answer.thinking), 'Thinking… 2 s · 3 tokens');
  generation.receive(delta('g1', 6, 'Yes.'));
  at(9000);
  assert.deepEqual([answer.thinking.isNow, answer.thinking.ms], [false, 2000]);
  assert.equal(answer.metrics.answerMs, 2100);
  generation.receive(end('g1', 6, {
    usage: { prompt_tokens: 3, completion_tokens: 7, reasoning_tokens: 5 },
    timings: { queued_ms: 1, ttft_ms: 20, total_ms: 2900, tokens_per_second: 40, reasoning_ms: 20, answer_ms: 1920 },
  }));
  assert.equal(thinkingLine(answer.thinking), 'Thought for 1.9 s · 5 tokens');
  assert.equal(answer.metrics.answerMs, 1920);
  assert.deepEqual([answer.text, answer.said, answer.reasoning], ['Yes.', 'Yes.', 'Hm hm hm']);
});

test('blank thinking is none', () => {
  const { answer, generation } = asked();
  generation.receive(reasoning(2, '\n\n'));
  assert.equal(answer.thinking, null);
});

test('an answer that never came ended while thinking', () => {
  const { answer, generation } = asked();
  generation.receive(reasoning(2, 'Hm'));
  generation.receive(end('g1', 2, { finish_reason: 'length', timings: { total_ms: 3000, reasoning_ms: 500 } }));
  assert.equal(answer.thinking.ms, 2500);
  assert.match(ending(answer), /^Length limit reached while thinking, after 3\.00 s$/);
});

test('it survives being saved, in the middle and at the end', () => {
  const { answer, generation, at } = asked();
  generation.receive(reasoning(2, 'Hm'));
  at(1000);
  const again = new Answer(JSON.parse(JSON.stringify(answer)), () => 5000);
  const rest = new Generation('g1', 'small', 2);
  again.follow(rest);
  assert.deepEqual([again.reasoning, again.thinking.ms, again.thinking.isNow], ['Hm', 1000, true]);
  rest.receive(reasoning(3, 'm'));
  rest.receive(delta('g1', 4, '', { kind: 'tool_call', call: { index: 0, name: 'look' } }));
  rest.receive(delta('g1', 5, '{}', { kind: 'tool_call', call: { index: 0, name: 'look' } }));
  const last = new Answer(JSON.parse(JSON.stringify(again)));
  assert.equal(last.reasoning, 'Hmm');
  assert.deepEqual(last.toolCalls, [{ index: 0, id: '', name: 'look', arguments: '{}' }]);
  assert.equal(last.said, 'look({})');
});

test('what the server has stored of it is restored', () => {
  const answer = new Answer({ model: 'small' });
  const calls = [{ index: 0, id: 'c1', name: 'look', arguments: '{"at":1}' }];
  answer.restore({ text: 'Yes', reasoning: 'Hm', tool_calls: calls, state: 'ended', finish_reason: 'stop', usage: null, timings: null, error: null });
  assert.deepEqual([answer.text, answer.reasoning, answer.toolCalls], ['Yes', 'Hm', calls]);
});

test('tokens of thinking are none of the text', () => {
  const token = (text, more) => ({ id: 1, text, logprob: -1, special: false, ...more });
  const answer = new Answer({ model: 'small', text: 'Yes' });
  answer.learn([token('<think>', { kind: 'reasoning', mark: true }), token('Hm', { kind: 'reasoning' }), token('Yes')]);
  assert.ok(answer.hasTokens);
  assert.equal(answer.tokens.length, 1);
});

test('the outline has the text\'s own tokens', () => {
  const { part, lines } = outline(' {"a": [1.0, 12345678901234567890], "a": {}, "b\\"}": "{,"} ');
  assert.deepEqual(part.members.map(({ key, part: { text, close } }) => key + text + close), ['"a"[]', '"a"{}', '"b\\"}""{,"']);
  assert.deepEqual(part.members[0].part.members.map(({ part: { text } }) => text), ['1.0', '12345678901234567890']);
  assert.equal(lines, 8);
});

test('what is no structure has no outline', () => {
  for (const text of ['', '12', '"a"', 'null', '{', '{"a": 1} and more', '[1,]', '[x](y)', `${'['.repeat(60)}${']'.repeat(60)}`, `["${'a'.repeat(200_000)}"]`]) {
    assert.equal(outline(text), null, text.slice(0, 20));
  }
});

test('a text is taken for JSON by its first two signs', () => {
  const said = { '': null, ' {': null, '{"': true, '[ {': true, '{}': true, '["': true, '[[': true, '[1] A book': false, '[a](b)': false, '{x}': false, 'So': false };
  for (const [text, begins] of Object.entries(said)) assert.equal(beginsAsStructure(text), begins, text);
  assert.deepEqual(['{"a":1}', '{"a":1', '"a"'].map(isStructure), [true, false, false]);
});

test('the gauge tells the last answer of this model that says it', () => {
  const model = { id: 'small', limits: { max_total_tokens: 8192 } };
  const answer = (usage, more) => Object.assign(new Answer({ model: 'small' }), { usage, ...more });
  const first = answer({ prompt_tokens: 100, completion_tokens: 50 });
  assert.deepEqual(contextGauge([first, answer(null), null], model), { used: 150, size: 8192, isNearlyFull: false });
  assert.equal(contextGauge([first], { ...model, id: 'other' }), null);
  assert.equal(contextGauge([first], { id: 'small', limits: {} }), null, 'the size is not known');
  assert.equal(contextGauge([answer({ prompt_tokens: null, completion_tokens: 1 })], model), null);
  const full = answer({ prompt_tokens: 800, completion_tokens: 20, context_tokens: 1024 });
  assert.deepEqual(contextGauge([first, full], model), { used: 820, size: 1024, isNearlyFull: true });
  const error = { code: 'prompt_too_long', details: { prompt_tokens: 9000, max_total_tokens: 8192 } };
  assert.deepEqual(contextGauge([first, answer(null, { error })], model), { used: 9000, size: 8192, isNearlyFull: true });
});

test('counts in few signs', () => {
  assert.deepEqual([7, 840, 6104, 8192, 9960, 131072, 1_000_000].map(brief), ['7', '840', '6.1k', '8.2k', '10k', '131k', '1.0M']);
});

test('a full context is an end of its own', () => {
  const answer = new Answer({ model: 'small', text: 'So', finishReason: 'length', notices: [{ code: 'context_full', message: '' }], timings: { total_ms: 1000 } });
  assert.equal(ending(answer), 'Context full after 1.00 s');
});
