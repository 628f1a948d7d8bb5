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

test('a question stays where its answer is a call of a tool, or was cut while thinking', () => {
  const conversation = new Conversation();
  const first = conversation.add('One?');
  const calls = [{ index: 0, id: 'c1', name: 'look', arguments: '{"at":"sky"}' }];
  conversation.addAnswer(first, 'a', said('', { toolCalls: calls }));
  conversation.addAnswer(first, 'b', said('', { reasoning: 'Hm, ', finishReason: 'cancelled' }));
  conversation.addAnswer(first, 'c', said('So.', { reasoning: 'Hm.', toolCalls: calls }));
  conversation.addAnswer(first, 'd', said('\n', { reasoning: ' \n', finishReason: 'length' }));
  const second = conversation.add('Two?');
  const between = (/** @type {string} */ column) => conversation.messages(second, column).slice(1, -1);
  for (const column of ['a', 'b', 'c']) assert.equal(conversation.messages(second, column)[0].content, 'One?', column);
  assert.deepEqual(between('a'), [assistant('look({"at":"sky"})')]);
  assert.deepEqual(between('b'), [assistant('(Stopped while thinking.)')]);
  assert.deepEqual(between('c'), [assistant('So.')], 'the text is what goes on');
  assert.deepEqual(conversation.messages(second, 'd'), [user('Two?')]);
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
  assert.ok(conversation.isSecret);
  assert.ok(new Conversation(JSON.parse(JSON.stringify(conversation))).isSecret, 'a blind round is blind after a reload');
  conversation.reveal(first, { kind: 'tie', best: null });
  assert.ok(!conversation.isSecret);
  conversation.add('Two?');
  conversation.show(first);
  const again = new Conversation(JSON.parse(JSON.stringify(conversation)));
  assert.deepEqual(JSON.parse(JSON.stringify(again)), JSON.parse(JSON.stringify(conversation)));
  assert.equal(again.path[0].answer('a').isLive, false);
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
  assert.deepEqual([answer.text, answer.isLive, answer.metrics.tokens], ['Once upon a time there was', true, 5]);
});
