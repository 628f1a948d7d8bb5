/**
 * The way to the sign-in page and out of the session that began there.
 *
 * A socket whose key was revoked closes with 4401. One that is refused before it opens tells a page
 * nothing, so the server is asked once more in a way whose answer can be read.
 */

/** @import { ConnectionState } from '../client/connection.js' */

const REVOKED = 4401;
const UNAUTHORIZED = 401;

const SIGN_IN = 'sign-in';

let isAsking = false;

/** Go to the sign-in page if that is what a lost connection needs. @param {ConnectionState} state */
export async function signInIfNeeded(state) {
  if (state.name === 'closed' && state.code === REVOKED) location.assign(SIGN_IN);
  if (state.name !== 'waiting' || isAsking) return;
  isAsking = true;
  try {
    const { status } = await fetch('models', { method: 'HEAD' });
    if (status === UNAUTHORIZED) location.assign(SIGN_IN);
  } catch {
    // The server cannot be reached: the next attempt will tell.
  } finally {
    isAsking = false;
  }
}

/** Let a button end what the sign-in began; it is there only after one. @param {Element | null} button */
export function offerSignOut(button) {
  button?.addEventListener('click', async () => {
    try {
      await fetch('sign-out', { method: 'POST', redirect: 'manual' });
    } finally {
      location.assign(SIGN_IN);
    }
  });
}
