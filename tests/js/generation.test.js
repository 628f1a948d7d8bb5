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
