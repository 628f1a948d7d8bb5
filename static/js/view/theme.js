/** The theme (system, light or dark), and the button that switches it. */

import { visits } from './storage.js';

const THEMES = ['system', 'light', 'dark'];

/** @param {HTMLButtonElement} button */
export function connectTheme(button) {
  const show = (/** @type {string} */ theme) => {
    // css/base.css has rules for "light" and "dark" only.
    document.documentElement.dataset.theme = theme;
    const label = `Theme: ${theme}`;
    button.setAttribute('aria-label', label);
    button.title = label;
  };
  let theme = visits.get('theme');
  if (!THEMES.includes(theme)) theme = 'system';
  show(theme);
  button.addEventListener('click', () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    visits.set('theme', theme);
    show(theme);
  });
}
