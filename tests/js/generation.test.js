import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Generation } from '../../static/js/client/generation.js';
import { delta, end } from './fake_socket.js';

const collect = async (generation) => {
  const texts = [];
  for await (const text of generation) texts.push(text);
  return texts;
};

test('for await gives the whole text, joined where the reader was slow', async () => {
  const generation = new Generation('g1');
  generation.receive(delta('g1', 1, 'a'));
  generation.receive(delta('g1', 2, 'b'));
  const texts = [];
  for await (const text of generation) {
    texts.push(text);
    if (texts.length === 1) {
      generation.receive(delta('g1', 3, 'c'));
      generation.receive(delta('g1', 5, 'de'));
    }
    if (texts.length === 2) generation.receive(end('g1', 5));
  }
  assert.deepEqual(texts, ['ab', 'cde']);
});

test('for await waits for what comes, for any number of readers', async () => {
  const generation = new Generation('g1');
  const readers = [collect(generation), collect(generation)];
  for (const [index, text] of ['one ', 'two ', 'three'].entries()) {
    await Promise.resolve();
    generation.receive(delta('g1', index + 1, text));
  }
  generation.receive(end('g1', 3));
  for (const texts of await Promise.all(readers)) assert.equal(texts.join(''), 'one two three');
  assert.deepEqual(await collect(generation), ['one two three'], 'also afterwards');
});

test('for await throws what the answer failed of, after its text', async () => {
  const generation = new Generation('g1');
  generation.receive(delta('g1', 1, 'half'));
  const error = { code: 'engine_error', message: 'it broke' };
  generation.receive(end('g1', 1, { finish_reason: 'failed', error }));
  const texts = [];
  await assert.rejects(async () => {
    for await (const text of generation) texts.push(text);
  }, { code: 'engine_error', message: 'it broke' });
  assert.deepEqual(texts, ['half']);
});

test('a cancelled answer simply ends', async () => {
  const generation = new Generation('g1');
  generation.receive(delta('g1', 1, 'half'));
  generation.receive(end('g1', 1, { finish_reason: 'cancelled' }));
  assert.deepEqual(await collect(generation), ['half']);
});

test('a first delta means that it runs, also when no state said so', () => {
  const generation = new Generation('g1');
  generation.receive({ type: 'state', generation: 'g1', state: 'queued', position: 3 });
  assert.equal(generation.position, 3);
  generation.receive(delta('g1', 1, 'a'));
  assert.deepEqual([generation.state, generation.position], ['running', null]);
});

test('events end with the signal', () => {
  const generation = new Generation('g1');
  const controller = new AbortController();
  const heard = [];
  generation.on('delta', ({ text }) => heard.push(text), { signal: controller.signal });
  generation.receive(delta('g1', 1, 'a'));
  controller.abort();
  generation.receive(delta('g1', 2, 'b'));
  assert.deepEqual(heard, ['a']);
});

test('who begins to listen during an event hears the next one first', () => {
  const generation = new Generation('g1');
  const heard = [];
  generation.on('delta', () => {
    if (heard.length === 0) generation.on('delta', ({ text }) => heard.push(text));
  });
  generation.receive(delta('g1', 1, 'a'));
  assert.deepEqual(heard, []);
  generation.receive(delta('g1', 2, 'b'));
  assert.deepEqual(heard, ['b']);
});

const reasoning = (seq, text) => delta('g1', seq, text, { kind: 'reasoning' });
const call = (seq, text, index, more) => delta('g1', seq, text, { kind: 'tool_call', call: { index, name: 'look', ...more } });

test('thinking and calls are no part of the answer, whatever their order', async () => {
  const generation = new Generation('g1');
  const heard = [];
  for (const kind of ['delta', 'reasoning', 'toolCall']) generation.on(kind, ({ text }) => heard.push([kind, text]));
  const read = collect(generation);
  generation.receive(reasoning(2, 'Hm'));
  generation.receive(reasoning(3, 'm.'));
  generation.receive(delta('g1', 4, 'Yes'));
  generation.receive(call(5, '{"a"', 0, { id: 'c0' }));
  generation.receive(call(6, '{}', 1, { id: 'c1' }));
  generation.receive(call(7, ':1}', 0));
  generation.receive(reasoning(8, ' So.'));
  generation.receive(delta('g1', 9, '!'));
  generation.receive(end('g1', 9));
  assert.deepEqual([generation.text, generation.reasoning, generation.seq], ['Yes!', 'Hmm. So.', 9]);
  assert.deepEqual(generation.toolCalls, [
    { index: 0, id: 'c0', name: 'look', arguments: '{"a":1}' },
    { index: 1, id: 'c1', name: 'look', arguments: '{}' },
  ]);
  assert.equal((await read).join(''), 'Yes!');
  assert.deepEqual(heard.map(([kind]) => kind), ['reasoning', 'reasoning', 'delta', 'toolCall', 'toolCall', 'toolCall', 'reasoning', 'delta']);
});

test('a mark has no text, and counts for the cursor', () => {
  const generation = new Generation('g1');
  generation.receive(reasoning(1, ''));
  assert.deepEqual([generation.seq, generation.reasoning, generation.state], [1, '', 'running']);
});

test('what was received before a break is not taken twice, of any kind', () => {
  const generation = new Generation('g1');
  const events = [reasoning(2, 'Hm'), call(3, '{', 0), delta('g1', 5, 'Yes'), call(6, '}', 0)];
  for (const event of [...events, ...events]) generation.receive(event);
  assert.deepEqual([generation.reasoning, generation.toolCalls[0].arguments, generation.text], ['Hm', '{}', 'Yes']);
});

test('the lengths are told while it runs, and are those of its end', () => {
  const generation = new Generation('g1');
  const heard = [];
  generation.on('state', ({ promptTokens, contextTokens }) => heard.push([promptTokens, contextTokens]));
  generation.receive({ type: 'state', generation: 'g1', state: 'running', context_tokens: 2048 });
  generation.receive({ type: 'state', generation: 'g1', state: 'running', prompt_tokens: 31, context_tokens: 2048 });
  generation.receive({ type: 'state', generation: 'g1', state: 'running', prompt_tokens: 31, context_tokens: 2048 });
  assert.deepEqual(heard, [[null, 2048], [31, 2048]]);
  generation.receive(delta('g1', 1, 'a'));
  assert.deepEqual([generation.promptTokens, generation.contextTokens], [31, 2048]);
  const usage = { prompt_tokens: 32, completion_tokens: 1, context_tokens: 4096 };
  generation.receive(end('g1', 1, { usage }));
  assert.deepEqual([generation.promptTokens, generation.contextTokens], [32, 4096]);
});
