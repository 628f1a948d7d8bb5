/** The theme: the system's, or light or dark whatever the system says; a button goes through them. */

import { visits } from './storage.js';

const THEMES = ['system', 'light', 'dark'];

/** @param {HTMLButtonElement} button */
export function connectTheme(button) {
  const show = (/** @type {string} */ theme) => {
    // css/base.css knows the words; "system" is having none of them.
    document.documentElement.dataset.theme = theme;
    const label = `Theme: ${theme}`;
    button.setAttribute('aria-label', label);
    button.title = label;
  };
  let theme = visits.recall('theme');
  if (!THEMES.includes(theme)) theme = 'system';
  show(theme);
  button.addEventListener('click', () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    visits.remember('theme', theme);
    show(theme);
  });
}
