import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Generation } from '../../static/js/client/generation.js';
import { Answer } from '../../static/js/model/answer.js';
import { Frames, inSlices } from '../../static/js/view/frames.js';
import { waitingFor } from '../../static/js/view/answer-labels.js';
import { activity, advice, askLabel, briefly, duration, endLine, ending, figures, isNamed, percent, pieces, progressLine, rate, runsOn, sentence, timeLeft, tokens, turnLabel } from '../../static/js/view/labels.js';
import { delta, end, model } from './fake_socket.js';

test('figures are written so that they can be read', () => {
  assert.deepEqual([0, 184, 9_994, 9_996, 59_940, 59_960, 125_000].map(duration),
    ['0.00 s', '0.18 s', '9.99 s', '10.0 s', '59.9 s', '1 min 0 s', '2 min 5 s']);
  assert.deepEqual([0.2, 7.6, 99.4, 99.6, 184].map(briefly), ['0 ms', '8 ms', '99 ms', '0.10 s', '0.18 s']);
  assert.deepEqual([0.04, 52.14, 99.96, 1234.5].map(rate), ['0.0 /s', '52.1 /s', '100 /s', '1235 /s']);
  assert.deepEqual([0.2, 31, 120, 7200].map(timeLeft), ['a moment left', '31 s left', '2 min left', '2 h left']);
  assert.deepEqual([0, 0.425, 0.999, 1].map(percent), ['0 %', '42 %', '99 %', '100 %']);
  assert.deepEqual([1, 12_345].map(tokens), ['1 token', '12,345 tokens']);
});

test('the end of an answer is read aloud without stray signs', () => {
  const answer = new Answer({ model: 'm' }, () => 0);
  answer.finish('failed', { code: 'model_failed', message: 'It is gone.', hint: null });
  assert.equal(endLine(answer), 'Failed');
  const whole = new Answer({ model: 'm' }, () => 0);
  const generation = new Generation('g1');
  whole.send();
  whole.follow(generation);
  generation.receive(delta('g1', 1, 'a'));
  generation.receive(end('g1', 1));
  assert.equal(endLine(whole), `${ending(whole)}, ${figures(whole.metrics).join(' · ')}`);
  assert.notDeepEqual(figures(whole.metrics), []);
});

test('it is said what an answer waits for, does, and how it ended', () => {
  const answer = new Answer({ model: 'm' }, () => 0);
  const generation = new Generation('g1');
  const loading = model('m', { state: 'loading', progress: { phase: 'loading', fraction: 0.42, text: 'Loading weights', eta_seconds: 12 } });
  const state = (value, position) => generation.receive({ type: 'state', generation: 'g1', state: value, position });
  assert.deepEqual([waitingFor(answer, model('m')), activity(answer)], ['Waiting for its turn', 'Waiting']);
  assert.equal(waitingFor(answer, loading), 'Loading weights · 42 % · 12 s left');
  answer.send();
  assert.deepEqual([waitingFor(answer, loading), activity(answer)], ['Sending', 'Sending']);
  answer.follow(generation);
  state('starting');
  assert.deepEqual([waitingFor(answer, loading), activity(answer)], ['Loading weights · 42 % · 12 s left', 'Starting']);
  assert.equal(waitingFor(answer, undefined), 'Starting', 'a hidden name is not given away');
  state('queued', 2);
  assert.deepEqual([waitingFor(answer, loading), activity(answer)], ['Queued, number 2 in line', 'Queued, 2.']);
  state('running');
  assert.deepEqual([waitingFor(answer, loading), activity(answer)], ['Reading the prompt', 'Reading']);
  generation.receive(delta('g1', 1, 'a'));
  assert.equal(activity(answer), 'Writing');
  generation.receive(end('g1', 1, { finish_reason: 'length' }));
  assert.equal(ending(answer), 'Length limit reached after 0.09 s');
  assert.equal(figures({ ttftMs: 1, tokens: 2, tokensPerSecond: 40, totalMs: 9, answerMs: null }).join(' · '), '2 tokens · 40.0 /s');
});

test('unknown words of a newer server are shown as they are', () => {
  assert.equal(runsOn(model('m', { engine: 'vLLM', runner: 'balloon' })), 'vLLM balloon');
  assert.equal(runsOn(model('m', { engine: 'llama.cpp', runner: 'process' })), 'llama.cpp on this machine');
  assert.equal(progressLine({ phase: 'inflating', fraction: null, text: '', eta_seconds: null }), 'Inflating');
});

test('messages become sentences', () => {
  assert.equal(sentence(' the server ended with exit code 1'), 'The server ended with exit code 1.');
  assert.equal(sentence('Really?'), 'Really?');
  for (const name of ['vLLM', 'llama.cpp', 'settings.ini']) assert.equal(sentence(`${name} reports`), `${name} reports.`);
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
  assert.deepEqual(advice({ code: 'prompt_too_long', hint: 'shorten it, or raise the limit' }), ['Shorten it, or raise the limit.']);
  assert.deepEqual(advice({ code: 'prompt_too_long', hint: null }), ['A shorter prompt helps.']);
  // There are buttons to leave out turns, and none is called `trim`.
  const trim = 'have the oldest turns left out with `trim`';
  assert.deepEqual(advice({ code: 'prompt_too_long', hint: `${trim}, or raise \`num_ctx\`` }), ['Raise `num_ctx`.']);
  assert.deepEqual(advice({ code: 'prompt_too_long', hint: `${trim}, ask for a shorter answer, or raise it` }), ['Ask for a shorter answer, or raise it.']);
  assert.match(advice({ code: 'unknown_model', hint: null })[0], /^“Replace the model…”/);
});

test('a frame writes everything once', () => {
  const log = [];
  let frame;
  const frames = new Frames({ isHidden: () => false, request: (callback) => { frame = callback; return 1; }, cancel: () => {} });
  const job = (name) => ({ write: () => log.push(name) });
  const [a, b] = [job('a'), job('b')];
  for (const one of [a, b, a]) frames.schedule(one);
  frame();
  assert.deepEqual(log, ['a', 'b']);
});

test('what is written out of sight waits, all of it for one frame, unless it comes into sight', async () => {
  const log = [];
  let frame = () => {};
  const requested = [];
  let next = () => {};
  const frames = new Frames({ isHidden: () => false, request: (callback) => { frame = callback; requested.push(log.length); next(); return 1; }, cancel: () => {} });
  const [a, b, c] = ['a', 'b', 'c'].map((name) => ({ write: () => log.push(name) }));
  const due = new Promise((resolve) => { next = resolve; });
  for (const one of [a, b, a]) frames.scheduleUnseen(one);
  assert.deepEqual(requested, []);
  await due;
  frames.scheduleUnseen(a); // it is in the next frame already
  frame();
  assert.deepEqual(log, ['a', 'b']);
  frames.scheduleUnseen(b);
  frames.schedule(b);
  frames.schedule(c);
  frame();
  assert.deepEqual(log, ['a', 'b', 'b', 'c']);
});

test('long works take turns, a step at a time, until each is done', async () => {
  const log = [];
  const work = (name, count, done) => () => {
    log.push(`${name}${(count -= 1)}`);
    if (count === 0) done();
    return count > 0;
  };
  await Promise.all([['a', 3], ['b', 2]].map(([name, count]) => new Promise((done) => inSlices(work(name, count, done)))));
  assert.deepEqual(log, ['a2', 'b1', 'a1', 'b0', 'a0']);
  await new Promise((done) => inSlices(work('c', 1, done)));
  assert.equal(log.at(-1), 'c0', 'also what comes after all were done');
});

test('it is said who is asked, and that hidden columns are not', () => {
  assert.equal(askLabel({ names: [], hidden: 0 }), 'Ask');
  assert.equal(askLabel({ names: [], hidden: 2 }), 'Ask', 'that all are hidden is said elsewhere');
  assert.equal(askLabel({ names: ['Small', 'Brief'], hidden: 1, from: 'Brief' }), 'Ask Brief and Small, not the hidden one, from the answer of Brief on');
  assert.equal(askLabel({ names: ['Small'], hidden: 1 }), 'Ask Small, not the hidden one');
  assert.equal(askLabel({ names: ['Small', 'Brief'], hidden: 0 }), 'Ask Brief and Small');
  assert.equal(askLabel({ names: ['x'.repeat(30), 'Brief'], hidden: 0 }), 'Ask both columns');
  assert.equal(askLabel({ names: ['x'.repeat(50)], hidden: 0 }), 'Ask the model');
  assert.equal(askLabel({ names: ['a', 'b', 'c'], hidden: 2 }), 'Ask all 3 columns, not the 2 hidden ones');
  assert.equal(askLabel({ names: ['a', 'b', 'c'], hidden: 0, startsOver: true }), 'New round: it starts over');
  assert.equal(askLabel({ names: [], hidden: 0, startsOver: true }), 'Ask');
  assert.equal(askLabel({ names: ['a', 'b', 'c'], hidden: 0, votes: 3 }), '1–3 vote, 0 is a tie; or write on');
  assert.equal(askLabel({ names: [], hidden: 0, votes: 9 }), '1–8 vote, 0 is a tie; or write on', 'there is no key for the ninth');
});

test('a search knows which models are called so', () => {
  const names = (text) => ['Gemma-1 13B', 'Gemma-3 40B', 'Llama 3.1'].filter((name) => isNamed({ name }, text.split(' ')));
  assert.deepEqual(names('gemma 3'), ['Gemma-3 40B']);
  assert.deepEqual(names('llama 3.1'), ['Llama 3.1']);
  assert.deepEqual(names('3'), ['Gemma-3 40B']);
});

test('a turn is named by its number and what was asked or attached', () => {
  assert.equal(turnLabel({ prompt: 'Why\n  so?', attachments: [] }, 0), '1 · Why so?');
  assert.equal(turnLabel({ prompt: 'x'.repeat(5000), attachments: [] }, 9).length, 205);
  assert.equal(turnLabel({ prompt: '', attachments: [{ name: 'a.png' }, { name: 'b.md' }] }, 1), '2 · a.png, b.md');
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
