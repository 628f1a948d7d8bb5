/** The keys that work all over the page; `view/shortcut-list.js` lists them. */

/**
 * @param {object} acts
 * @param {() => void} acts.escape Nothing else was open.
 * @param {() => void} acts.write
 * @param {(index: number) => void} acts.go
 * @param {() => void} acts.help
 * @param {() => void} acts.newChat
 */
export function connectKeys({ escape, write, go, help, newChat }) {
  document.addEventListener('keydown', (event) => {
    const { altKey, ctrlKey, isComposing, key, metaKey, target } = event;
    // An open dialog or menu has its keys for itself; the browser closes it at Esc.
    if (isComposing || document.querySelector('dialog[open], :popover-open')) return;
    if (key === 'Escape') return escape();
    if (altKey && !ctrlKey && !metaKey && event.code === 'KeyN') {
      event.preventDefault();
      return newChat();
    }
    const isTyping = target instanceof HTMLElement && target.matches('input:not([type=checkbox]), textarea, select');
    if (isTyping || altKey || ctrlKey || metaKey) return;
    if (key === '/') write();
    else if (key === '?') help();
    else if (/^[1-8]$/.test(key)) go(Number(key) - 1);
    else return;
    event.preventDefault();
  });
}
