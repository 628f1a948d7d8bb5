/** Copying, also where the page has no clipboard of its own: a page without TLS from another machine. */

const SHOWN_MS = 1500;

/** Copy the code whose button was clicked, and say so on the button. @param {EventTarget | null} target */
export async function copyCode(target) {
  const button = target instanceof Element ? target.closest('button.copy') : null;
  const code = button?.closest('.code')?.querySelector('code');
  if (!button || !code) return;
  const isCopied = await copyText((code.textContent ?? '').replace(/\n$/, ''));
  button.setAttribute('aria-label', isCopied ? 'Copied' : 'Could not be copied');
  button.classList.toggle('is-done', isCopied);
  setTimeout(() => {
    button.setAttribute('aria-label', 'Copy code');
    button.classList.remove('is-done');
  }, SHOWN_MS);
}

/** Put `text` on the clipboard; return whether it is there. @param {string} text */
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
