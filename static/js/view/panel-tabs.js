/**
 * `<panel-tabs>`: the tabs of the side panel; the arrow keys go from one to the next.
 *
 * Events: `tab-show` when another is shown.
 */

import { PageElement } from './element.js';

export class PanelTabs extends PageElement {
  // Lifecycle

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    this.addEventListener('click', ({ target }) => {
      if (target instanceof HTMLElement && target.role === 'tab') this.#show(target);
    }, { signal });
    this.addEventListener('keydown', ({ key }) => {
      if (key !== 'ArrowLeft' && key !== 'ArrowRight') return;
      const tabs = this.#tabs;
      const at = tabs.findIndex((tab) => tab.ariaSelected === 'true');
      const next = tabs[(at + (key === 'ArrowRight' ? 1 : tabs.length - 1)) % tabs.length];
      this.#show(next);
      next.focus();
    }, { signal });
  }

  // Internal

  get #tabs() {
    return /** @type {HTMLElement[]} */ ([...this.querySelectorAll('[role=tab]')]);
  }

  /** @param {HTMLElement} shown */
  #show(shown) {
    for (const tab of this.#tabs) {
      const isShown = tab === shown;
      tab.ariaSelected = String(isShown);
      tab.tabIndex = isShown ? 0 : -1;
      const panel = document.getElementById(tab.getAttribute('aria-controls') ?? '');
      if (panel) panel.hidden = !isShown;
    }
    this.announce('tab-show');
  }
}

customElements.define('panel-tabs', PanelTabs);
