import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SidestreamError } from '../../static/js/client/protocol.js';
import { Deletions, UNDO_MS } from '../../static/js/model/deletions.js';

/** Deletions, what was sent and restored of them, and what failed. */
function made() {
  const deletions = new Deletions();
  const log = [];
  deletions.on('failed', ({ name, error }) => log.push(`${name}: ${error.code}`));
  const begin = (id, code = '') => deletions.begin({
    id,
    name: id.toUpperCase(),
    send: async () => {
      log.push(`send ${id}`);
      if (code) throw new SidestreamError({ code, message: 'no' });
    },
    restore: async () => log.push(`restore ${id}`),
  });
  return { deletions, log, begin };
}

test('what is deleted is hidden at once, and sent when it cannot be undone any more', async ({ mock }) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const { deletions, log, begin } = made();
  begin('a');
  assert.equal(deletions.has('a'), true);
  assert.equal(deletions.pending.name, 'A');
  mock.timers.tick(UNDO_MS - 1);
  assert.deepEqual(log, []);
  mock.timers.tick(1);
  assert.deepEqual(log, ['send a']);
  assert.equal(deletions.pending, null);
  assert.equal(deletions.has('a'), true, 'a list may have been read before');
});

test('what is undone is shown and never sent', async ({ mock }) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const { deletions, log, begin } = made();
  begin('a');
  assert.equal(await deletions.undo(), 'a');
  assert.equal(deletions.has('a'), false);
  mock.timers.tick(2 * UNDO_MS);
  await deletions.flush();
  assert.equal(await deletions.undo(), null);
  assert.deepEqual(log, ['restore a']);
});

test('another deletion sends the one before, and has its whole time', async ({ mock }) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const { deletions, log, begin } = made();
  begin('a');
  mock.timers.tick(UNDO_MS - 1);
  begin('b');
  assert.deepEqual(log, ['send a']);
  mock.timers.tick(UNDO_MS - 1);
  assert.equal(await deletions.undo(), 'b');
  assert.deepEqual([deletions.has('a'), deletions.has('b')], [true, false]);
});

test('what the server does not delete is shown again, and told', async () => {
  const { deletions, log, begin } = made();
  begin('a', 'storage_failed');
  await deletions.flush();
  assert.equal(deletions.has('a'), false);
  assert.deepEqual(log, ['send a', 'A: storage_failed']);
});

test('what somebody else has deleted is deleted', async () => {
  for (const code of ['unknown_run', 'unknown_prompt_set']) {
    const { deletions, log, begin } = made();
    begin('a', code);
    await deletions.flush();
    assert.equal(deletions.has('a'), true);
    assert.deepEqual(log, ['send a']);
  }
});
