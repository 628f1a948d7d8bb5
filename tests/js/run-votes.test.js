import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SidestreamError } from '../../static/js/client/protocol.js';
import { MOST_ANSWERS, Pairings, ballotsOf, drawn } from '../../static/js/model/run-ballots.js';
import { gradeWords, judgeWords, repliesDue, verdicts } from '../../static/js/model/run-judges.js';
import { expectedWins, expectedWinsWords, groupsOf, intervalWords, standingWords } from '../../static/js/model/run-ranking.js';
import { newTargets } from '../../static/js/model/run-table.js';
import { RunVoting } from '../../static/js/model/run-voting.js';
import { MOST_SEEN, SeenBallots } from '../../static/js/model/seen-ballots.js';
import { VoteOutbox } from '../../static/js/model/vote-outbox.js';

const RUN = { id: 'r', prompts: 2, repeats: 1 };
const cell = (target, reason = 'stop', repeat = 0) => ({ target, repeat, state: 'done', finish_reason: reason });
const row = (prompt, ...cells) => ({ prompt, text: '', cells });
const settled = () => new Promise((resolve) => setImmediate(resolve));
const down = () => new SidestreamError({ code: 'connection_closed', message: 'away' });

/** An outbox before a server that `fails` as it is told. */
function server() {
  const calls = [];
  const state = { calls, fails: null };
  const answer = async (...call) => {
    calls.push(call);
    if (state.fails) throw state.fails;
  };
  state.outbox = new VoteOutbox({
    vote: (run, prompt, given) => answer('vote', run, prompt, given.winners),
    takeBack: (run, prompt, repeat) => answer('take back', run, prompt, repeat),
  });
  return state;
}

/** Voting on two prompts with three answers each, in the order in which they are. */
function voting({ votes = [], run = RUN, targets = [0, 1, 2], seen = new SeenBallots() } = {}) {
  const peer = server();
  const one = new RunVoting({ run, votes, outbox: peer.outbox, seen, random: () => 0.999 });
  one.add(Array.from({ length: run.prompts }, (_, prompt) => row(prompt, ...targets.map((target) => cell(target)))));
  return { one, peer };
}

test('a ballot has the complete answers of one repeat, and two at least', () => {
  const cells = [cell(0), cell(1, 'length'), cell(2, 'failed'), cell(0, 'stop', 1), { target: 1, repeat: 1, state: 'asking' }];
  assert.deepEqual(ballotsOf(row(4, ...cells)), [{ prompt: 4, repeat: 0, targets: [0, 1] }]);
  assert.deepEqual(ballotsOf(row(4, cell(0), cell(1, 'cancelled'))), []);
});

test('all answers are shown in a random order, but no more than have a key', () => {
  const many = Array.from({ length: 30 }, (_, index) => index);
  assert.equal(drawn(many, 'best', new Pairings()).length, MOST_ANSWERS);
  let seed = 1;
  const random = () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647;
  const firsts = new Set(Array.from({ length: 50 }, () => drawn([0, 1, 2], 'best', new Pairings(), random)[0]));
  assert.deepEqual([...firsts].sort(), [0, 1, 2]);
});

test('pairs are drawn so that all come equally often', () => {
  const pairings = new Pairings();
  for (let times = 0; times < 12; times += 1) pairings.add(drawn([0, 1, 2, 3], 'pairs', pairings));
  for (const pair of [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]) assert.equal(pairings.count(pair), 2);
});

test('any of the pairs comes first, and either of the two is shown first', () => {
  let seed = 1;
  const random = () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647;
  const seen = new Set(Array.from({ length: 200 }, () => new Pairings().draw([0, 1, 2], random).join(' ')));
  assert.deepEqual([...seen].sort(), ['0 1', '0 2', '1 0', '1 2', '2 0', '2 1']);
});

test('a vote stands at once, is kept in the order seen, and can be changed and taken back', async () => {
  const { one, peer } = voting();
  const [ballot] = one.ballots;
  assert.deepEqual(one.shown(ballot), [0, 1, 2]);
  one.choose(ballot, 1);
  assert.deepEqual(one.vote(ballot), { among: [0, 1, 2], winners: [1], repeat: 0, blind: true });
  assert.deepEqual([one.voted, one.total, one.open()], [1, 2, 1]);
  one.choose(ballot, 2);
  assert.deepEqual(one.vote(ballot)?.winners, [1, 2]);
  one.choose(ballot, 0);
  assert.deepEqual(one.vote(ballot)?.winners, []); // all are best
  one.tie(ballot);
  assert.equal(one.vote(ballot), null);
  assert.deepEqual(one.shown(ballot), [0, 1, 2]);
  one.choose(ballot, 7);
  assert.equal(one.vote(ballot), null);
  await settled();
  assert.deepEqual(peer.calls.at(-1), ['take back', 'r', 0, 0]);
  assert.equal(peer.outbox.size, 0);
});

test('of two, one is chosen instead of the other, and the same key takes it back', () => {
  const { one } = voting({ targets: [0, 1] });
  const [ballot] = one.ballots;
  one.choose(ballot, 0);
  one.choose(ballot, 1);
  assert.deepEqual(one.vote(ballot)?.winners, [1]);
  one.choose(ballot, 1);
  assert.equal(one.vote(ballot), null);
});

test('two at a time draws anew what has no vote, and shows again what was voted on', () => {
  const { one } = voting();
  const [first, second] = one.ballots;
  one.choose(first, 0);
  one.shown(second);
  one.form = 'pairs';
  assert.deepEqual(one.shown(first), [0, 1, 2]);
  assert.equal(one.shown(second).length, 2);
  assert.deepEqual(one.shown(second), one.shown(second));
});

test('it goes on behind the votes that were given, in the order in which they were seen', () => {
  const given = { prompt: 0, repeat: 0, among: [2, 0], winners: [0], blind: true };
  const { one } = voting({ votes: [given] });
  assert.deepEqual([one.open(), one.voted], [1, 1]);
  assert.deepEqual(one.shown(one.ballots[0]), [2, 0]);
});

test('a vote on answers that are no longer there counts as none, and ballots without two answers are left out', () => {
  const gone = { prompt: 0, repeat: 0, among: [0, 5], winners: [5], blind: true };
  const { one } = voting({ votes: [gone] });
  assert.deepEqual([one.open(), one.voted], [0, 0]);
  one.update(one.ballots[0], [0, 2]);
  assert.deepEqual([...one.shown(one.ballots[0])].sort(), [0, 2]);
  const { outbox } = server();
  const few = new RunVoting({ run: RUN, votes: [gone], outbox });
  few.add([row(0, cell(0)), row(1, cell(0), cell(1))]);
  assert.deepEqual([few.total, few.voted, few.isRead], [1, 0, true]);
  const cut = new RunVoting({ run: RUN, votes: [], outbox });
  cut.add([]);
  assert.equal(cut.isRead, true);
});

test('a vote that is given or changed once names were shown is not blind', () => {
  const { one } = voting();
  const [ballot] = one.ballots;
  one.name(ballot, true);
  assert.equal(one.isNamed(ballot), false); // not before its vote
  one.choose(ballot, 0);
  one.name(ballot, true);
  assert.deepEqual([one.isNamed(ballot), one.vote(ballot)?.blind], [true, true]);
  one.choose(ballot, 1);
  assert.equal(one.vote(ballot)?.blind, false);
  one.choose(ballot, 0);
  one.choose(ballot, 1);
  one.choose(ballot, 2);
  assert.equal(one.vote(ballot)?.blind, false);
  const seen = voting({ votes: [{ prompt: 0, repeat: 0, among: [0, 1], winners: [0], blind: false }] }).one;
  seen.choose(seen.ballots[0], 1);
  assert.equal(seen.vote(seen.ballots[0])?.blind, false);
});

/** A storage that is shared by tabs and outlives the page; what it has is text. */
function storage() {
  const entries = {};
  return { get: (key) => JSON.parse(entries[key] ?? 'null'), set: (key, value) => { entries[key] = JSON.stringify(value); } };
}

test('what was seen with its names is not blind after another look or a reload, but others are', () => {
  const memory = storage();
  const { one } = voting({ seen: new SeenBallots(memory) });
  one.choose(one.ballots[0], 0);
  one.name(one.ballots[0], true);
  const given = { prompt: 0, ...one.vote(one.ballots[0]) };
  assert.equal(given.blind, true);
  const again = voting({ votes: [given], seen: new SeenBallots(memory) }).one;
  again.choose(again.ballots[0], 1);
  again.choose(again.ballots[1], 1);
  assert.deepEqual(again.ballots.map((ballot) => again.vote(ballot)?.blind), [false, true]);
  const other = voting({ run: { ...RUN, id: 'other' }, seen: new SeenBallots(memory) }).one;
  other.choose(other.ballots[0], 1);
  assert.equal(other.vote(other.ballots[0])?.blind, true);
});

test('answers that were read side by side are not voted on blindly, also where nothing can be stored', () => {
  const refusing = new SeenBallots({ get: () => null, set: () => {} });
  refusing.add('r', { prompt: 1, repeat: 0 });
  const { one } = voting({ seen: refusing });
  for (const ballot of one.ballots) one.choose(ballot, 0);
  assert.deepEqual(one.ballots.map((ballot) => one.vote(ballot)?.blind), [true, false]);
});

test('what was seen is bounded, and shared with other tabs', () => {
  const memory = storage();
  const [seen, otherTab] = [new SeenBallots(memory), new SeenBallots(memory)];
  otherTab.add('r', { prompt: 0, repeat: 0 }, { prompt: 1, repeat: 0 });
  assert.equal(seen.has('r', { prompt: 0, repeat: 0 }), true);
  seen.add('r', ...Array.from({ length: MOST_SEEN - 1 }, (_, index) => ({ prompt: index + 2, repeat: 0 })));
  const anew = new SeenBallots(memory);
  assert.deepEqual([0, 1, MOST_SEEN].map((prompt) => anew.has('r', { prompt, repeat: 0 })), [false, true, true]);
  memory.set('seenBallots', 'something else');
  assert.equal(new SeenBallots(memory).has('r', { prompt: 1, repeat: 0 }), false);
});

test('votes that cannot be sent wait, the last one of a ballot, and are sent again', async () => {
  const { one, peer } = voting();
  peer.fails = down();
  const [first, second] = one.ballots;
  one.choose(first, 0);
  await settled();
  one.choose(first, 1);
  one.choose(second, 0);
  await settled();
  assert.equal(peer.outbox.of('r').length, 2);
  assert.equal(peer.outbox.error?.code, 'connection_closed');
  // Another look at the run still has them.
  const again = new RunVoting({ run: RUN, votes: [], outbox: peer.outbox });
  assert.deepEqual([again.voted, again.vote(first)?.winners], [2, [0, 1]]);
  peer.fails = null;
  peer.calls.length = 0;
  await peer.outbox.retry();
  assert.deepEqual(peer.calls, [['vote', 'r', 0, [0, 1]], ['vote', 'r', 1, [0]]]);
  assert.deepEqual([peer.outbox.size, peer.outbox.error], [0, null]);
});

test('a vote that the server will never take is dropped and told, and those behind it are sent', async () => {
  const { one, peer } = voting();
  const refused = [];
  peer.outbox.addEventListener('refused', ({ detail }) => refused.push([detail.prompt, detail.error.code]));
  peer.fails = down();
  one.choose(one.ballots[0], 0);
  one.choose(one.ballots[1], 0);
  await settled();
  peer.fails = new SidestreamError({ code: 'invalid_command', message: 'target 0 has no answer' });
  await peer.outbox.retry();
  assert.deepEqual([refused, peer.outbox.size], [[[0, 'invalid_command'], [1, 'invalid_command']], 0]);
  one.refuse({ prompt: 0, repeat: 0 });
  assert.equal(one.vote(one.ballots[0]), null);
});

const rank = (target, strength, interval, wins, losses, more = {}) => ({ target, strength, interval, wins, losses, ties: 0, group: 0, regularised: false, prompts: wins + losses, ...more });

test('a ranking calls nobody better whose interval overlaps, or who was compared too little', () => {
  const names = ['One', 'Two', 'Three'];
  assert.equal(standingWords([rank(1, 1, [0.5, 1.5], 9, 2), rank(0, -1, [-1.5, -0.5], 2, 9)], names), 'Two is ahead: its interval lies above all others.');
  assert.match(standingWords([rank(1, 1, [-0.2, 1.5], 9, 4), rank(2, -1, [-1.5, 0.2], 4, 9)], names), /^Nobody is ahead for sure: the intervals of Two and others, such as Three/);
  // One vote among eight is seven comparisons, on one prompt.
  const few = rank(0, 1, null, 7, 0, { prompts: 1 });
  assert.equal(standingWords([few, rank(1, -1, null, 0, 1)], names), '1 prompt with a winner is too few to tell who is better.');
  assert.equal(intervalWords(few), '');
  assert.equal(expectedWinsWords(few), '');
  assert.equal(expectedWinsWords(rank(0, 0.5, [0, 1], 6, 0)), '62 %');
  assert.equal(intervalWords(rank(0, 0, [-1, 1], 6, 0)), '27 to 73 %');
  assert.equal(intervalWords(rank(0, 1.8, [1.8, 1.8], 18, 0)), ''); // all votes alike: nothing varies
  assert.equal(standingWords([rank(1, 1.8, [1.8, 1.8], 18, 0), rank(0, -1.8, [-1.8, -1.8], 0, 18)], names), 'Two is ahead: it was better in all 18 comparisons without a tie.');
  assert.equal(expectedWins(0), 50);
  assert.equal(standingWords([rank(0, 0, null, 0, 0)], names), '');
});

test('groups that were never compared stand apart', () => {
  assert.deepEqual(groupsOf([rank(0, 1, null, 1, 0), rank(2, 0, null, 1, 0, { group: 1 }), rank(1, -1, null, 0, 1)]).map((group) => group.map(({ target }) => target)), [[0, 1], [2]]);
});

const judgement = (first, second, said) => ({ prompt: 0, repeat: 0, first, second, grade: null, better: null, reason: '', reply: '', asked: [], ...said });

test('a judge tells its progress, its contradictions and its cost', () => {
  const judge = { state: 'running', mode: 'pairs', judged: 12, total: 40, unreadable: 1 };
  assert.equal(judgeWords({ judge, inconsistent: 2, cost: 0.0123 }), 'Running · 12 of 40 replies, a pair in both orders · 1 unreadable · 2 pairs contradicted · $0.0123');
  assert.equal(judgeWords({ judge: { ...judge, state: 'done', mode: 'grades', judged: 4, total: null, unreadable: 0 }, inconsistent: 0, cost: null }), 'Done · 4 graded');
  assert.deepEqual([repliesDue({ prompts: 2, repeats: 3, targets: [{}, {}, {}] }, 'grades'), repliesDue({ prompts: 2, repeats: 3, targets: [{}, {}, {}] }, 'pairs')], [18, 36]);
  assert.deepEqual(gradeWords({ graded: 6, mean: 3.456, interval: { low: 3, high: 4 } }), ['3.46', '3.00 to 4.00']);
  assert.deepEqual(gradeWords({ graded: 5, mean: 4, interval: { low: 4, high: 4 } }), ['4.00', '']);
  assert.deepEqual(gradeWords({ graded: 0, mean: null, interval: null }), ['', '']);
});

test('an answer shows its grade, or how it compares with each other one in both orders', () => {
  const names = ['One', 'Two', 'Three', 'Four', 'Five', 'Six'];
  const words = (judgements, target) => verdicts(judgements, { target, repeat: 0 }, 5, names).map((verdict) => verdict.words);
  const grades = [judgement(0, null, { grade: 4 }), judgement(1, null, { reason: 'no JSON' })];
  assert.deepEqual([words(grades, 0), words(grades, 1), words(grades, 2)], [['4 of 5'], ['Unreadable'], []]);
  const pairs = [
    judgement(0, 1, { better: 'first' }), judgement(1, 0, { better: 'second' }),
    judgement(0, 2, { better: 'first' }), judgement(2, 0, { better: 'first' }),
    judgement(0, 3, { better: 'tie' }), judgement(3, 0, { better: 'tie' }),
    judgement(0, 4, { better: 'first' }), judgement(4, 0, {}),
    judgement(0, 5, { better: 'first' }),
    { ...judgement(0, 1, { better: 'second' }), repeat: 1 },
  ];
  assert.deepEqual(words(pairs, 0), ['Better than Two', 'Contradicts itself, so a tie with Three', 'A tie with Four', 'Unreadable, against Five', 'One order only, against Six']);
  assert.deepEqual(words(pairs, 1), ['Worse than One']);
  assert.equal(verdicts(pairs, { target: 1, repeat: 0 }, 5, names)[0].asked[0].first, 1);
});

test('a run is extended by what the columns have and it does not', () => {
  const workspace = {
    isSecret: false,
    settings: { parameters: {}, system: '' },
    columns: { asked: [{ model: 'a', parameters: { top_p: 1, temperature: 1 }, system: null }, { model: 'a', parameters: { temperature: 0 }, system: null }] },
    label: ({ model }) => model,
  };
  const known = [{ model: 'a', parameters: { temperature: 1, top_p: 1 }, system: null, name: 'A' }];
  assert.deepEqual(newTargets(workspace, known).map(({ parameters }) => parameters), [{ temperature: 0 }]);
});
