import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Generation } from '../../static/js/client/generation.js';
import { Meter, duration, percent, rate, timeLeft, tokens } from '../../static/js/view/figures.js';
import { Frames } from '../../static/js/view/frames.js';
import { messagesFor } from '../../static/js/view/history.js';
import { initialSelection } from '../../static/js/view/selection.js';
import { activity, advice, ending, figuresLine, pieces, progressLine, runsOn, sentence, waitingFor } from '../../static/js/view/words.js';
import { delta, end, model } from './fake_socket.js';

test('figures are written so that they can be read', () => {
  assert.deepEqual([0, 184, 9_994, 9_996, 59_940, 59_960, 125_000].map(duration),
    ['0.00 s', '0.18 s', '9.99 s', '10.0 s', '59.9 s', '1 min 0 s', '2 min 5 s']);
  assert.deepEqual([0.04, 52.14, 99.96, 1234.5].map(rate), ['0.0 /s', '52.1 /s', '100 /s', '1235 /s']);
  assert.deepEqual([0.2, 31, 120, 7200].map(timeLeft), ['a moment left', '31 s left', '2 min left', '2 h left']);
  assert.deepEqual([0, 0.425, 0.999, 1].map(percent), ['0 %', '42 %', '99 %', '100 %']);
  assert.deepEqual([1, 12_345].map(tokens), ['1 token', '12,345 tokens']);
});

test('while an answer runs its figures come from deltas, afterwards from the server', () => {
  const generation = new Generation('g1');
  const meter = new Meter(1_000);
  assert.deepEqual(meter.figures(generation), { ttftMs: null, tokensPerSecond: null, tokens: null });
  meter.count(1, 1_250);
  assert.deepEqual(meter.figures(generation), { ttftMs: 250, tokensPerSecond: null, tokens: 1 });
  meter.count(21, 1_750);
  assert.deepEqual(meter.figures(generation), { ttftMs: 250, tokensPerSecond: 40, tokens: 21 });
  generation.receive(end('g1', 22));
  assert.deepEqual(meter.figures(generation), { ttftMs: 20, tokensPerSecond: 40, tokens: 22 });
});

test('each model goes on with its own answers, and unanswered prompts are left out', () => {
  const turns = [
    { prompt: 'One?', answer: 'First.' },
    { prompt: 'Two?', answer: ' \n' },
    { prompt: 'Three?', answer: 'Half a' },
  ];
  assert.deepEqual(messagesFor(turns, 'Four?'), [
    { role: 'user', content: 'One?' }, { role: 'assistant', content: 'First.' },
    { role: 'user', content: 'Three?' }, { role: 'assistant', content: 'Half a' },
    { role: 'user', content: 'Four?' },
  ]);
});

test('the first two models that can run are selected, until something was chosen', () => {
  const models = [model('broken', { state: 'failed' }), model('a'), model('b', { state: 'stopped' }), model('c')];
  assert.deepEqual(initialSelection(models, null), ['a', 'b']);
  assert.deepEqual(initialSelection(models, ['c', 'a', 'gone']), ['a', 'c'], 'in the order of the list');
  assert.deepEqual(initialSelection(models, ['broken']), ['broken'], 'chosen is chosen');
  assert.deepEqual(initialSelection(models, []), [], 'none is a choice too');
  assert.deepEqual(initialSelection(models, ['gone']), ['a', 'b']);
  assert.deepEqual(initialSelection(models, 'nonsense'), ['a', 'b']);
});

test('it is said what an answer waits for, does, and how it ended', () => {
  const generation = new Generation('g1');
  const loading = model('m', { state: 'loading', progress: { phase: 'loading', fraction: 0.42, text: 'Loading weights', eta_seconds: 12 } });
  const state = (value, position) => generation.receive({ type: 'state', generation: 'g1', state: value, position });
  assert.deepEqual([waitingFor(null, loading), activity(null)], ['Sending', 'Sending']);
  state('starting');
  assert.deepEqual([waitingFor(generation, loading), activity(generation)], ['Loading weights · 42 % · 12 s left', 'Starting']);
  state('queued', 2);
  assert.deepEqual([waitingFor(generation, loading), activity(generation)], ['Queued, number 2 in line', 'Queued']);
  state('running');
  assert.deepEqual([waitingFor(generation, loading), activity(generation)], ['Reading the prompt', 'Reading']);
  generation.receive(delta('g1', 1, 'a'));
  assert.equal(activity(generation), 'Writing');
  generation.receive(end('g1', 1, { finish_reason: 'length' }));
  assert.equal(ending(generation), 'Length limit reached after 0.09 s');
  assert.equal(figuresLine({ ttftMs: 1, tokens: 2, tokensPerSecond: 40 }), '2 tokens · 40.0 /s');
});

test('unknown words of a newer server are shown as they are', () => {
  assert.equal(runsOn(model('m', { engine: 'vLLM', runner: 'balloon' })), 'vLLM balloon');
  assert.equal(runsOn(model('m', { engine: 'llama.cpp', runner: 'process' })), 'llama.cpp on this machine');
  assert.equal(progressLine({ phase: 'inflating', fraction: null, text: '', eta_seconds: null }), 'Inflating');
});

test('messages become sentences', () => {
  assert.equal(sentence(' the server ended with exit code 1'), 'The server ended with exit code 1.');
  assert.equal(sentence('Really?'), 'Really?');
  assert.equal(sentence(''), '');
});

test('code in a message is what stands between two backticks', () => {
  const codes = (text) => pieces(text).map((piece) => (piece.isCode ? [piece.text] : piece.text));
  assert.deepEqual(codes('set `a` or `b`.'), ['set ', ['a'], ' or ', ['b'], '.']);
  assert.deepEqual(codes('`a`'), [['a']]);
  for (const text of ['one ` alone', 'nothing: ``', '`two\nlines`']) assert.deepEqual(codes(text), [text]);
  assert.deepEqual(codes('`<b>`'), [['<b>']]);
  assert.deepEqual(codes(''), []);
});

test('an error is followed by what can be done about it', () => {
  assert.deepEqual(advice({ code: 'model_failed', hint: null }), []);
  assert.deepEqual(advice({ code: 'model_failed', hint: 'set `url`' }), ['Set `url`.']);
  const [own, more] = advice({ code: 'prompt_too_long', hint: 'raise the limit' });
  assert.equal(own, 'Raise the limit.');
  assert.match(more, /^“New chat” /);
  assert.match(advice({ code: 'prompt_too_long' })[0], /^“New chat” /);
});

test('a frame writes everything, then settles, once each', () => {
  const log = [];
  let frame;
  const frames = new Frames({ isHidden: () => false, request: (callback) => { frame = callback; return 1; }, cancel: () => {} });
  const job = (name) => ({
    write: () => log.push(`write ${name}`),
    settle: () => log.push(`settle ${name}`),
  });
  const [a, b] = [job('a'), job('b')];
  for (const one of [a, b, a]) frames.schedule(one);
  frame();
  assert.deepEqual(log, ['write a', 'write b', 'settle a', 'settle b']);
});

test('a hidden tab writes by timer, also what was waiting for a frame', async () => {
  let isHidden = false;
  const cancelled = [];
  const frames = new Frames({ isHidden: () => isHidden, request: () => 7, cancel: (handle) => cancelled.push(handle) });
  await new Promise((resolve) => {
    frames.schedule({ write: resolve });
    isHidden = true;
    frames.visibilityChanged();
    assert.deepEqual(cancelled, [7]);
  });
});
