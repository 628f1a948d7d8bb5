/**
 * Keyboard shortcuts of the whole page; `view/shortcut-list.js` lists them.
 *
 * Keys of an input method reach no field and no dialog: an Enter that ends a composition sends nothing,
 * and an Escape closes nothing. In Safari such a key comes after the composition, and only its code tells.
 */

const INPUT_METHOD = 229;

/**
 * @param {object} acts
 * @param {() => void} acts.escape When no dialog or menu is open.
 * @param {() => void} acts.write
 * @param {(index: number) => void} acts.go
 * @param {(index: number) => boolean} acts.vote Whether a vote is due, which this has given.
 * @param {(by: number) => void} acts.turn
 * @param {() => void} acts.help
 * @param {() => void} acts.newChat
 */
export function connectShortcuts({ escape, write, go, vote, turn, help, newChat }) {
  window.addEventListener('keydown', (event) => {
    if (event.isComposing || event.keyCode === INPUT_METHOD) event.stopPropagation();
  }, { capture: true });
  document.addEventListener('keydown', (event) => {
    const { altKey, ctrlKey, key, metaKey, target } = event;
    // An open dialog or menu handles its own keys; the browser closes it at Esc.
    if (document.querySelector('dialog[open], :popover-open')) return;
    if (key === 'Escape') return escape();
    if (altKey && !ctrlKey && !metaKey && event.code === 'KeyN') {
      event.preventDefault();
      return newChat();
    }
    const by = { ArrowUp: -1, ArrowDown: 1 }[key];
    const isElsewhere = target === document.body || (target instanceof Element && target.closest('turn-strip'));
    const isFull = target instanceof HTMLElement && 'value' in target && target.value !== '';
    // The arrows alone scroll what has the focus; in a field that is empty they do nothing.
    if (by && !isFull && !ctrlKey && !metaKey && (altKey ? !event.shiftKey : isElsewhere)) {
      event.preventDefault();
      return turn(by);
    }
    const isTyping = target instanceof HTMLElement && target.matches('input:not([type=checkbox]), textarea, select');
    if (altKey || ctrlKey || metaKey) return;
    const isNumber = /^[0-8]$/.test(key);
    // After a prompt the focus is still in its field.
    const mayVote = !isTyping || (!isFull && target.matches('prompt-composer textarea'));
    if (isNumber && mayVote && vote(Number(key) - 1)) return event.preventDefault();
    if (isTyping) return;
    if (key === '/') write();
    else if (key === '?') help();
    else if (isNumber) go(Number(key) - 1);
    else return;
    event.preventDefault();
  });
}
