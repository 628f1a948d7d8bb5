/** Copy to the clipboard, also on a page without TLS, which has no clipboard API. */

import { h } from './element.js';
import { icon } from './icons.js';

const SHOWN_MS = 1500;

/** Make a button for `copyCode`. @param {string} label */
export function copyButton(label) {
  return h('button', { type: 'button', class: 'copy', 'aria-label': label, title: label }, icon('copy'));
}

/** Copy the code whose button was clicked, and show that on the button. @param {EventTarget | null} target */
export async function copyCode(target) {
  const button = target instanceof Element ? /** @type {HTMLElement | null} */ (target.closest('button.copy')) : null;
  const code = button?.closest('.code')?.querySelector('code');
  if (!button || !code) return;
  const isCopied = await copyText((code.textContent ?? '').replace(/\n$/, ''));
  button.setAttribute('aria-label', isCopied ? 'Copied' : 'Could not be copied');
  button.classList.toggle('is-done', isCopied);
  setTimeout(() => {
    button.setAttribute('aria-label', button.title);
    button.classList.remove('is-done');
  }, SHOWN_MS);
}

/** Put `text` on the clipboard; return whether that worked. @param {string} text */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text); // not allowed, or there is none
  }
}

/** @param {string} text */
function copyBySelection(text) {
  const area = document.createElement('textarea');
  area.value = text;
  area.setAttribute('aria-hidden', 'true');
  area.style.position = 'fixed';
  area.style.opacity = '0';
  const focused = document.activeElement;
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand('copy');
  area.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return isCopied;
}
