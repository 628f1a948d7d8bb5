import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Generation } from '../../static/js/client/generation.js';
import { Answer } from '../../static/js/model/answer.js';
import { Conversation } from '../../static/js/model/conversation.js';
import { delta, end } from './fake_socket.js';

const said = (text, more) => new Answer({ model: 'm', text, finishReason: 'stop', ...more });
const user = (content) => ({ role: 'user', content });
const assistant = (content) => ({ role: 'assistant', content });

test('each column goes on with its own answers, and unanswered prompts are left out', () => {
  const conversation = new Conversation();
  const first = conversation.add('One?');
  conversation.addAnswer(first, 'a', said('First of a.'));
  conversation.addAnswer(first, 'b', said(' \n'));
  const second = conversation.add('Two?');
  assert.deepEqual(conversation.messages(second, 'a'), [user('One?'), assistant('First of a.'), user('Two?')]);
  assert.deepEqual(conversation.messages(second, 'b'), [user('Two?')]);
  assert.deepEqual(conversation.messages(first, 'a'), [user('One?')], 'what came later is not told');
});

test('one answer can be made the history of all columns, for the turns below', () => {
  const conversation = new Conversation();
  const first = conversation.add('One?');
  const best = said('The best.');
  conversation.addAnswer(first, 'a', best);
  conversation.addAnswer(first, 'b', said('The other.'));
  conversation.setCommon(first, best.id);
  const second = conversation.add('Two?');
  conversation.setCommon(first, null);
  assert.equal(conversation.messages(second, 'b')[1].content, 'The best.', 'a turn stays as it was asked');
  const other = conversation.add('Two, again?', { parent: first.id });
  assert.equal(conversation.messages(other, 'b')[1].content, 'The other.');
});

test('editing a prompt makes a branch, and no branch is lost', () => {
  const conversation = new Conversation();
  const first = conversation.add('One?');
  const second = conversation.add('Two?');
  const third = conversation.add('Three?');
  const edited = conversation.add('Two, rather?', { parent: second.parent });
  assert.deepEqual(conversation.path, [first, edited]);
  assert.deepEqual(conversation.siblings(edited), [second, edited]);
  conversation.show(second);
  assert.deepEqual(conversation.path, [first, second, third], 'down to its end');
});

test('an answer tried again is another, and the one shown is what counts', () => {
  const conversation = new Conversation();
  const turn = conversation.add('One?');
  for (const text of ['First.', 'Second.']) conversation.addAnswer(turn, 'a', said(text));
  const next = conversation.add('Two?');
  assert.equal(conversation.messages(next, 'a')[1].content, 'Second.');
  conversation.showAnswer(turn, 'a', -1);
  conversation.showAnswer(turn, 'a', -1);
  assert.equal(conversation.messages(next, 'a')[1].content, 'First.');
});

test('a conversation comes back from its record as it was', () => {
  const conversation = new Conversation({ title: 'About one' });
  const first = conversation.add('One?', { isBlind: true });
  conversation.addAnswer(first, 'a', said('Yes.', { parameters: { seed: 7 } }));
  conversation.setVote(first, { kind: 'tie', best: null, names: { a: 'A' } });
  conversation.add('Two?');
  conversation.show(first);
  const again = new Conversation(JSON.parse(JSON.stringify(conversation)));
  assert.deepEqual(JSON.parse(JSON.stringify(again)), JSON.parse(JSON.stringify(conversation)));
  assert.equal(again.path[0].answer('a').isLive, false);
});

test('while an answer runs its figures come from deltas, afterwards from the server', () => {
  let now = 0;
  const answer = new Answer({ model: 'm' }, () => now);
  const generation = new Generation('g1');
  now = 1_000;
  answer.send();
  answer.follow(generation);
  now = 1_250;
  assert.deepEqual(answer.figures, { ttftMs: null, tokensPerSecond: null, tokens: null, totalMs: 250 });
  generation.receive(delta('g1', 1, 'a'));
  assert.deepEqual(answer.figures, { ttftMs: 250, tokensPerSecond: null, tokens: 1, totalMs: 250 });
  now = 1_750;
  generation.receive(delta('g1', 21, 'b'));
  assert.deepEqual(answer.figures, { ttftMs: 250, tokensPerSecond: 40, tokens: 21, totalMs: 750 });
  generation.receive(end('g1', 22));
  assert.deepEqual(answer.figures, { ttftMs: 20, tokensPerSecond: 40, tokens: 22, totalMs: 90 });
});

test('an answer goes on from the middle, after a reload or because it was asked to', () => {
  const before = new Answer({ model: 'm' });
  const old = new Generation('g1');
  before.follow(old);
  old.receive(delta('g1', 3, 'Once upon'));
  const answer = new Answer(JSON.parse(JSON.stringify(before)));
  const generation = new Generation('g1', 'm', answer.seq);
  answer.follow(generation);
  generation.receive(delta('g1', 3, 'Once upon'));
  generation.receive(delta('g1', 4, ' a time'));
  generation.receive(end('g1', 4, { finish_reason: 'length' }));
  assert.equal(answer.text, 'Once upon a time');
  const { requestId } = answer;
  answer.reopen();
  assert.notEqual(answer.requestId, requestId);
  const more = new Generation('g2');
  answer.follow(more);
  more.receive(delta('g2', 1, ' there was'));
  assert.deepEqual([answer.text, answer.isLive, answer.figures.tokens], ['Once upon a time there was', true, 5]);
});
