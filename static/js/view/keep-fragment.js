/**
 * Signing in leads back to what the address asked for: its fragment (`#run=ID`) is never sent to the server, and a
 * redirect keeps that of the address which was asked. The sign-in page loads this alone.
 */

const form = document.querySelector('form');

function keep() {
  if (form) form.action = `sign-in${location.hash}`;
}

keep();
window.addEventListener('hashchange', keep);
