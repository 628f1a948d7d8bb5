import assert from 'node:assert/strict';
import { test } from 'node:test';

import { differs, judgingWords, withProgress } from '../../static/js/model/run-judges.js';
import { JudgeFeed } from '../../static/js/view/judge-feed.js';
import { connectedClient } from './fake_socket.js';

const judge = (id, judged, state = 'running') => ({ id, model: 'm', mode: 'grades', state, judged, total: 40 });
const listed = (...judges) => judges.map((one) => ({ judge: { ...one, criteria: 'x' }, grades: [], ranking: [], inconsistent: 0, cost: null }));
const told = (...judges) => ({ type: 'run', run: { id: 'r_1', judges, votes: 0 } });
const settle = () => new Promise((resolve) => setImmediate(resolve));

test('what judges are at is told in words, and nothing where none is at work', () => {
  assert.equal(judgingWords([]), '');
  assert.equal(judgingWords([judge('j_1', 40, 'done'), judge('j_2', 3, 'paused')]), '');
  assert.equal(judgingWords([judge('j_1', 40, 'done'), judge('j_2', 12)]), 'Judging: 12 of 40');
  assert.equal(judgingWords([judge('j_1', 1000), judge('j_2', 45)]), '2 judges: 1,045 of 1,045');
});

test('what was read has the progress that was told since, and is read again for what is new', () => {
  const read = listed(judge('j_1', 1), judge('j_2', 2));
  assert.deepEqual(withProgress(read, null), read);
  const [one, two] = withProgress(read, [judge('j_1', 5, 'paused')]);
  assert.deepEqual([one.judge.judged, one.judge.state, one.judge.criteria, two.judge.judged], [5, 'paused', 'x', 2]);
  assert.equal(differs(read, [judge('j_1', 1), judge('j_2', 2)]), '');
  assert.equal(differs(read, [judge('j_1', 1), judge('j_2', 3)]), 'progress');
  assert.equal(differs(read, [judge('j_1', 1), judge('j_2', 2, 'done')]), 'judges');
  assert.equal(differs(read, [judge('j_1', 1)]), 'judges');
  assert.equal(differs(read, [judge('j_1', 1), judge('j_3', 2)]), 'judges');
});

/** A feed before a server that has these judges; `reads` counts how often they were read. */
async function feeding(...judges) {
  const { client, socket } = connectedClient();
  const server = { judges, reads: 0, gone: 0 };
  const shown = [];
  const leaving = new AbortController();
  const host = {
    client,
    read: (act) => act(),
    gone: () => { server.gone += 1; },
    fail: () => undefined,
    assessments: { judges: async () => { server.reads += 1; return { judges: listed(...server.judges) }; } },
  };
  const feed = new JudgeFeed(host, leaving.signal, { id: 'r_1' }, { show: (all) => shown.push(all.map((one) => `${one.judge.state} ${one.judge.judged}`).join()) });
  socket.answer('follow_runs', {});
  await feed.read();
  await settle();
  const say = async (...now) => {
    server.judges = now;
    socket.say(told(...now));
    await settle();
  };
  return { client, socket, server, shown, say, leaving };
}

test('progress is shown as it is told, and read after a pause, once for all that came', async (t) => {
  const { client, server, shown, say } = await feeding(judge('j_1', 0));
  assert.deepEqual([shown, server.reads], [['running 0'], 1]);
  t.mock.timers.enable({ apis: ['setTimeout'] });
  await say(judge('j_1', 1));
  await say(judge('j_1', 2));
  assert.deepEqual([shown.at(-1), server.reads], ['running 2', 1]);
  t.mock.timers.tick(2000);
  await settle();
  assert.equal(server.reads, 2);
  t.mock.timers.tick(600_000); // nothing is told: nothing is read
  await settle();
  assert.equal(server.reads, 2);
  client.close();
});

test('a judge that begins, ends or goes is read at once, whoever does it', async () => {
  const { client, server, shown, say } = await feeding();
  await say(judge('j_1', 0));
  await say(judge('j_1', 40, 'done'));
  await say();
  assert.deepEqual([server.reads, shown.at(-1)], [4, '']);
  assert.ok(shown.includes('running 0') && shown.includes('done 40'));
  client.close();
});

test('a screen that was left reads and shows nothing more', async (t) => {
  const { client, server, shown, say, leaving } = await feeding(judge('j_1', 0));
  t.mock.timers.enable({ apis: ['setTimeout'] });
  await say(judge('j_1', 1));
  const before = shown.length;
  leaving.abort();
  t.mock.timers.tick(600_000);
  await say(judge('j_1', 2));
  assert.deepEqual([shown.length, server.reads], [before, 1]);
  client.close();
});

test('that the run was deleted is told once', async () => {
  const { client, socket, server } = await feeding(judge('j_1', 0));
  socket.say({ type: 'run_removed', run: 'r_1' });
  await settle();
  assert.equal(server.gone, 1);
  client.close();
});
