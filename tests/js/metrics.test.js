import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Generation } from '../../static/js/client/generation.js';
import { Answer } from '../../static/js/model/answer.js';
import { nameParts } from '../../static/js/model/name-parts.js';
import { queuedFor, waitingFor } from '../../static/js/view/answer-labels.js';
import { ending, wait } from '../../static/js/view/labels.js';
import { connectedClient, delta, end, generating, greet, makeClient } from './fake_socket.js';

/** Make an answer that was sent at 1000 ms, with a clock that can be set. */
function sent(generation = new Generation('g1')) {
  const clock = { now: 0 };
  const answer = new Answer({ model: 'm' }, () => clock.now);
  clock.now = 1_000;
  answer.send();
  answer.follow(generation);
  return { answer, clock, generation };
}

const none = { ttftMs: null, startMs: 0, queueMs: 0, tokensPerSecond: null, tokens: null, totalMs: null, answerMs: null };
const state = (name, more) => ({ type: 'state', generation: 'g1', state: name, ...more });
const timings = (more) => ({ queued_ms: null, ttft_ms: null, total_ms: 0, tokens_per_second: null, ...more });

test('while an answer runs its metrics come from deltas, afterwards from the server', () => {
  const { answer, clock, generation } = sent();
  generation.receive(state('running'));
  clock.now = 1_250;
  assert.deepEqual(answer.metrics, { ...none, totalMs: 250 });
  generation.receive(delta('g1', 1, 'a'));
  assert.deepEqual(answer.metrics, { ...none, ttftMs: 250, tokens: 1, totalMs: 250 });
  clock.now = 1_750;
  generation.receive(delta('g1', 21, 'b'));
  assert.deepEqual(answer.metrics, { ...none, ttftMs: 250, tokensPerSecond: 40, tokens: 21, totalMs: 750 });
  generation.receive(end('g1', 22));
  assert.deepEqual(answer.metrics, { ...none, ttftMs: 19, queueMs: 1, tokensPerSecond: 40, tokens: 22, totalMs: 90 });
});

test('the speed of an answer that stalls falls', () => {
  const { answer, clock, generation } = sent();
  generation.receive(state('running'));
  generation.receive(delta('g1', 1, 'a'));
  clock.now = 2_000;
  generation.receive(delta('g1', 41, 'b'));
  assert.equal(answer.metrics.tokensPerSecond, 40);
  clock.now = 5_000;
  assert.equal(answer.metrics.tokensPerSecond, 10);
});

test('the start of a server and the queue are no part of the time to the first token', () => {
  const { answer, clock, generation } = sent();
  generation.receive(state('starting'));
  clock.now = 12_000;
  generation.receive(state('queued', { position: 1 }));
  clock.now = 16_000;
  generation.receive(state('running', { notice: { code: 'server_loads', message: 'loads' } }));
  clock.now = 17_000;
  generation.receive(state('running'));
  clock.now = 17_400;
  generation.receive(delta('g1', 1, 'a'));
  const { queueMs, startMs, totalMs, ttftMs } = answer.metrics;
  assert.deepEqual({ queueMs, startMs, totalMs, ttftMs }, { queueMs: 4_000, startMs: 12_000, totalMs: 16_400, ttftMs: 400 });
  generation.receive(end('g1', 1, { timings: timings({ queued_ms: 15_000, starting_ms: 11_000, load_ms: 1_000, ttft_ms: 16_390, total_ms: 16_400 }) }));
  assert.deepEqual([answer.metrics.ttftMs, answer.metrics.startMs, answer.metrics.queueMs], [390, 12_000, 4_000]);
});

test('what never came has no figures, and figures of old answers need not tell all', () => {
  const { answer, generation } = sent();
  generation.receive(end('g1', 0, { finish_reason: 'cancelled', usage: null, timings: timings({ total_ms: 5_000 }) }));
  assert.deepEqual(answer.metrics, { ...none, queueMs: 5_000, totalMs: 5_000 });
  const old = new Answer({ model: 'm', finishReason: 'stop', timings: { ttft_ms: 20, tokens_per_second: 1, total_ms: 90 }, seq: 3 });
  assert.deepEqual([old.metrics.ttftMs, old.metrics.tokens], [20, 3]);
  const refused = new Answer({ model: 'm' }, () => 9);
  refused.send();
  refused.finish('failed', { code: 'queue_full', message: 'no' });
  assert.deepEqual(refused.metrics, none);
  assert.equal(ending(refused), 'Failed');
});

test('of an interrupted answer what was measured until its last delta stays, also over a reload', () => {
  const { answer, clock, generation } = sent();
  generation.receive(state('queued', { position: 1 }));
  clock.now = 3_000;
  generation.receive(state('running'));
  clock.now = 3_500;
  generation.receive(delta('g1', 1, 'a'));
  clock.now = 5_500;
  generation.receive(delta('g1', 21, 'b'));
  clock.now = 99_000;
  generation.interrupt({ code: 'session_lost', message: 'lost' });
  const expected = { ...none, ttftMs: 500, queueMs: 2_000, tokensPerSecond: 10, tokens: 21, totalMs: 4_500, isEstimated: true };
  assert.deepEqual(answer.metrics, expected);
  clock.now = 200_000;
  assert.deepEqual(answer.metrics, expected);
  const again = new Answer(JSON.parse(JSON.stringify(answer)));
  assert.deepEqual(again.metrics, expected);
  assert.equal(ending(again), 'Interrupted after 4.50 s');
});

test('after a reload the times of a live answer are the server\'s', async () => {
  const { client, network } = makeClient({ session: 's_1', known: { g1: 3, g2: 0 } });
  const answers = ['g1', 'g2'].map((id) => {
    const answer = new Answer({ model: 'm', generation: id, text: id === 'g1' ? 'abc' : '', seq: id === 'g1' ? 3 : 0 });
    answer.follow(client.generations.get(id));
    return answer;
  });
  client.connect();
  greet(network.latest, { resumed: true, generations: [
    { id: 'g1', model: 'm', state: 'running', seq: 103, finish_reason: null, timings: timings({ queued_ms: 2_000, starting_ms: 2_000, ttft_ms: 2_500, total_ms: 62_500 }) },
    { id: 'g2', model: 'm', state: 'queued', seq: 0, finish_reason: null, timings: timings({ total_ms: 30_000 }) },
  ] });
  network.latest.say(delta('g1', 121, 'more'), { type: 'state', generation: 'g2', state: 'queued', position: 3, max_concurrent: 2, queue_timeout: 600 });
  const { startMs, tokens, tokensPerSecond, totalMs, ttftMs } = answers[0].metrics;
  assert.deepEqual({ startMs, tokens, ttftMs: Math.round(ttftMs) }, { startMs: 2_000, tokens: 121, ttftMs: 500 });
  assert.ok(totalMs >= 62_500 && tokensPerSecond > 1.5 && tokensPerSecond <= 2, '120 tokens in a minute');
  assert.ok(answers[1].phaseMs >= 30_000);
  assert.match(waitingFor(answers[1], undefined), /^Queued for 3\d s, number 3 in line · the server writes 2 answers at once · given up after 10 min$/);
  client.close();
});

test('a connection that comes back corrects the times', async () => {
  const { client, socket } = connectedClient();
  const [generation] = await generating(client, socket, { g1: 'small' });
  const answer = new Answer({ model: 'small' });
  answer.send();
  answer.follow(generation);
  generation.resume('running', timings({ queued_ms: 0, ttft_ms: 100, total_ms: 9_000 }), performance.now());
  assert.equal(answer.state, 'running');
  assert.ok(answer.metrics.totalMs >= 9_000);
  assert.equal(Math.round(answer.metrics.ttftMs), 100);
  client.close();
});

test('it is said for how long an answer is queued, and why', () => {
  assert.equal(queuedFor(200, null), 'Queued');
  assert.equal(queuedFor(12_700, null), 'Queued for 12 s');
  assert.equal(queuedFor(1_000, 2), 'Queued for 1 s, number 2 in line');
  assert.equal(queuedFor(75_000, 1, { maxConcurrent: 1, queueTimeout: 30 }),
    'Queued for 75 s, number 1 in line · the server writes one answer at once · given up after 30 s');
  assert.deepEqual([140, 9_949, 11_300, 59_700, 120_000].map(wait), ['0.1 s', '9.9 s', '11 s', '60 s', '2 min']);
});

test('a name is cut where it is like others', () => {
  const names = ['Llama-3.1-8B-Instruct-Q4_K_M', 'Llama-3.1-8B-Instruct-Q8_0', 'Llama-3.1-70B-Instruct-Q8_0', 'Small', 'Small (Seed 7)', 'gpt · here', 'gpt · there'];
  const parts = (name, others = names) => nameParts(name, others.filter((one) => one !== name)).join('|');
  assert.deepEqual(names.map((name) => parts(name)), [
    'Llama-3.1-8B-Instruct-|Q4_K_M|', 'Llama-3.1-8B-Instruct-|Q8_0|', 'Llama-3.1-|70B-Instruct-Q8_0|',
    'Small||', 'Small| (Seed 7)|', 'gpt · |here|', 'gpt · |there|',
  ]);
  assert.deepEqual(['Qwen2.5-7B-Instruct', 'Qwen2.5-14B-Instruct'].map((name, _, all) => parts(name, all)), ['Qwen2.5-|7B|-Instruct', 'Qwen2.5-|14B|-Instruct']);
  assert.deepEqual(['', 'One', 'deepseek-r1-70b'].map((name) => parts(name, [])), ['||', 'One||', 'deepseek-r1-|70b|']);
});
