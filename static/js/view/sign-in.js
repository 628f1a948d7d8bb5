/**
 * Go to the sign-in page when needed, and sign out.
 *
 * A socket whose key was revoked closes with 4401. If the upgrade is refused, browsers hide the
 * status and the words, so they are read from an ordinary request.
 */

import { errorText } from './labels.js';

/** @import { ConnectionState } from '../client/connection.js' */

const REVOKED = 4401;
const UNAUTHORIZED = 401;
const FORBIDDEN = 403;

const SIGN_IN = 'sign-in';

const NO_SOCKET = 'The server answers, but no WebSocket opens: a proxy has to pass on “Upgrade” and “Connection”.';

let isAsking = false;

/**
 * Go to the sign-in page if the connection was lost for lack of a key; say what else keeps the page
 * from connecting, '' if nothing is known.
 *
 * @param {ConnectionState} state
 * @param {boolean} wasConnected Whether it ever was.
 */
export async function lookWhy(state, wasConnected) {
  if (state.name === 'closed' && state.code === REVOKED) goAndComeBack();
  if (state.name !== 'waiting' || isAsking) return '';
  isAsking = true;
  try {
    // A POST has an origin, as the socket has.
    const answer = await fetch('ws-ticket', { method: 'POST' });
    if (answer.status === UNAUTHORIZED) goAndComeBack();
    if (answer.status === FORBIDDEN) return errorText((await answer.json()).error);
    if (answer.ok && !wasConnected && state.attempt > 1) return NO_SOCKET;
  } catch {
    // The server cannot be reached; the next attempt asks again.
  } finally {
    isAsking = false;
  }
  return '';
}

/** Who signs in again sees what was shown. */
function goAndComeBack() {
  location.assign(SIGN_IN + location.hash);
}

/** Make the button sign out; the page has one only if somebody is signed in. @param {Element | null} button */
export function offerSignOut(button) {
  button?.addEventListener('click', async () => {
    try {
      await fetch('sign-out', { method: 'POST', redirect: 'manual' });
    } finally {
      location.assign(SIGN_IN);
    }
  });
}
