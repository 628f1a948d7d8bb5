import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Generation } from '../../static/js/client/generation.js';
import { Answer } from '../../static/js/model/answer.js';
import { noticeText, waitFraction, waitText } from '../../static/js/view/answer-labels.js';
import { costLabel, figures, waitLabel } from '../../static/js/view/labels.js';
import { delta, end } from './fake_socket.js';

const notice = (code, message = '', details = null) => ({ code, message, details });

test('it is said why no text comes yet, in the server\'s own words where it has some', () => {
  const said = (one) => waitText(one, 0);
  assert.equal(said(notice('server_loads', 'the server loads the model')), 'The server loads the model');
  assert.equal(said(notice('server_loads', 'weights 42 %')), 'The server loads the model: weights 42 %');
  assert.equal(said(notice('server_loads', 'the server loads the model: 42 %')), 'The server loads the model: 42 %');
  assert.equal(said(notice('server_loads')), 'The server loads the model');
  assert.equal(said(notice('waits_for_model', 'waits for a on this server')), 'Waits for a on this server');
  assert.equal(said(notice('of_a_newer_server', 'the moon is full')), 'The moon is full');
  assert.deepEqual(['server_loads', 'rate_limited', 'new'].map((code) => waitLabel({ code, message: '' })), ['Loading', 'Held back', 'Waiting']);
});

test('how much of the prompt is read is a figure and a bar', () => {
  const reading = notice('prompt_progress', 'read 512 of 1237 tokens of the prompt', { processed: 512, total: 1237 });
  assert.equal(waitText(reading, 0), 'Read 512 of 1,237 tokens');
  assert.ok(Math.abs(waitFraction(reading) - 0.414) < 0.001);
  assert.equal(waitFraction(notice('prompt_progress', 'reading')), null);
  assert.equal(waitText(notice('prompt_progress', 'reading on'), 0), 'Reading on');
});

test('what is held back counts down to when it is asked again', () => {
  const held = notice('rate_limited', 'too many requests.', { seconds: 31 });
  const said = (waitedMs) => waitText(held, waitedMs);
  assert.deepEqual([0, 1100, 60_000].map(said), [
    'Too many requests · asked again in 31 s', 'Too many requests · asked again in 30 s', 'Too many requests · asked again now']);
  assert.match(waitText(notice('rate_limited', 'no', { seconds: 7000 }), 0), /in 117 min$/);
});

test('a cost is told from nothing', () => {
  const said = (amount, estimated = false) => costLabel({ amount, estimated });
  assert.deepEqual([0, 0.00123, 0.0000123, 0.25, 3.456, 1e-9].map((amount) => said(amount)),
    ['$0.00', '$0.0012', '$0.000012', '$0.2500', '$3.46', 'less than $0.000001']);
  assert.equal(said(0.00123, true), '≈$0.0012');
});

test('remarks are sentences, and the grave ones are marked', () => {
  assert.deepEqual(noticeText(notice('prompt_truncated', 'the server read only 2 of about 6 tokens')),
    { text: 'The server read only 2 of about 6 tokens.', isGrave: true });
  assert.deepEqual(noticeText(notice('of_a_newer_server')), { text: 'Of_a_newer_server.', isGrave: false });
});

function followed(...events) {
  const generation = new Generation('g1', 'm');
  const answer = new Answer({ model: 'm' }, () => 0);
  answer.send();
  answer.follow(generation);
  for (const event of events) generation.receive(event);
  return answer;
}

test('what an answer waits for is over with its first token', () => {
  const loads = notice('server_loads', 'loading');
  const answer = followed({ type: 'state', generation: 'g1', state: 'starting', notice: loads });
  assert.deepEqual(answer.notice, loads);
  answer.generation.receive(delta('g1', 1, 'Hi'));
  assert.equal(answer.notice, null);
});

test('what its end says is kept with the answer, and comes back with it', () => {
  const said = {
    notices: [notice('parameter_left_out', 'min_p')], details: { finish_reason: 'eos' }, answered_by: 'One', cost: { amount: 0.5 },
    usage: { prompt_tokens: null, completion_tokens: 1, estimated: true },
  };
  const answer = followed(delta('g1', 1, 'Hi'), end('g1', 1, said));
  const again = new Answer(JSON.parse(JSON.stringify(answer)));
  for (const one of [answer, again]) {
    assert.deepEqual([one.notices, one.details, one.answeredBy, one.cost], [said.notices, said.details, 'One', said.cost]);
    assert.equal(figures(one.metrics).join(' · '), '≈1 token · ≈40.0 /s');
  }
  const stored = { text: 'Hi', timings: null, finish_reason: 'stop', error: null, ...said };
  const restored = new Answer({ model: 'm' });
  restored.restore(stored);
  assert.deepEqual([restored.notices, restored.answeredBy, restored.cost], [said.notices, 'One', said.cost]);
  restored.reopen();
  restored.restore({ ...stored, notices: [...said.notices, notice('x', 'y')], cost: { amount: 0.25, estimated: true } });
  assert.deepEqual(restored.cost, { amount: 0.75, estimated: true }, 'parts add up');
  assert.deepEqual(restored.notices.map(({ code }) => code), ['parameter_left_out', 'x'], 'nothing is remarked twice');
  restored.reopen();
  restored.restore({ ...stored, cost: null });
  assert.equal(restored.cost, null, 'of a part that is not known the whole is not known');
});

test('answers of before there were remarks have none', () => {
  const old = new Answer({ model: 'm' });
  old.restore({ text: 'Hi', usage: null, timings: null, finish_reason: 'stop', error: null });
  assert.deepEqual([old.notices, old.details, old.answeredBy, old.cost], [[], {}, '', null]);
});
