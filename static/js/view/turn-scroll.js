/**
 * Where a column is being read: which turn is at its top, or its end while text is added.
 *
 * A turn is shown from its top and stays there while its answer grows. A column follows its end once
 * the user has gone there, until the user scrolls up. Where it stands is stored and not derived from
 * the layout, which changes for other reasons: text grows, older turns are laid out when they come
 * into sight, the window gets smaller. After each such change the position is set again.
 *
 * Sizes come from a ResizeObserver, which is called after the layout of a frame and before its paint:
 * nothing here makes the browser compute a layout while text is written. A scroll event comes from
 * the user unless the position is the one that was set, or the sizes differ from those of that time;
 * a column that does not follow its end may have grown.
 */

/** Two lines: the end is in sight, or the turn is at the top. */
const NEAR_PX = 48;

export class TurnScroll {
  #scroller;
  /** The turns' elements are its children. */
  #turns;
  #moved;
  /** The turn at the top. @type {Element | null} */
  #turn = null;
  #isAtTop = true;
  #follows = false;
  #isPlaced = false;
  #top = 0;
  #size = { width: 0, height: 0, whole: 0 };

  /** @param {HTMLElement} scroller @param {HTMLElement} turns Its only child. @param {() => void} moved Called when the user has come to another turn. */
  constructor(scroller, turns, moved) {
    this.#scroller = scroller;
    this.#turns = turns;
    this.#moved = moved;
  }

  /** The turn at the top; null before there is one. */
  get turn() {
    return this.#turn;
  }

  /** Whether the turn is shown from its beginning. */
  get isAtTop() {
    return this.#isAtTop;
  }

  /** Whether its end stays in sight. */
  get follows() {
    return this.#follows;
  }

  /** Listen to scrolling and resizing until `signal` aborts. @param {AbortSignal} signal */
  connect(signal) {
    this.#isPlaced = false;
    this.#scroller.addEventListener('scroll', () => this.#scrolled(), { signal, passive: true });
    this.#scroller.addEventListener('fold', () => this.#stay(), { signal });
    // Not at `toggle`, which also tells of what comes open.
    this.#scroller.addEventListener('click', ({ target }) => {
      if (target instanceof Element && target.closest('summary')) this.#stay();
    }, { signal });
    const observer = new ResizeObserver(() => this.#settle());
    observer.observe(this.#scroller);
    observer.observe(this.#turns);
    signal.addEventListener('abort', () => observer.disconnect());
  }

  /** Show this turn from its beginning. @param {Element} turn */
  toTurn(turn) {
    this.#turn = turn;
    this.#isAtTop = true;
    this.#follows = false;
    if (this.#isPlaced) this.#settle();
  }

  /** Go to the end and stay there. */
  toEnd() {
    this.#turn = this.#turns.lastElementChild;
    this.#follows = true;
    this.#isAtTop = false;
    this.#settle();
  }

  // Internal

  /** Be where it should be, after the text or the layout changed. */
  #settle() {
    const { clientHeight, scrollHeight } = this.#scroller;
    if (clientHeight === 0) return; // not on the page now
    if (this.#follows) this.#scroller.scrollTop = scrollHeight;
    else if (this.#isAtTop && this.#turn?.isConnected) this.#scroller.scrollTop = this.#topOf(this.#turn);
    else if (!this.#isPlaced) this.#scroller.scrollTop = this.#top; // it came back to the page
    this.#isPlaced = true;
    this.#note();
  }

  #note() {
    const { clientHeight: height, clientWidth: width, scrollHeight: whole, scrollTop } = this.#scroller;
    this.#top = scrollTop;
    this.#size = { width, height, whole };
  }

  /** Where it has to be scrolled to for a turn's answer, which is below its name, to begin at its top. @param {Element} turn */
  #topOf(turn) {
    return /** @type {HTMLElement} */ (turn).offsetTop - this.#turns.offsetTop + parseFloat(getComputedStyle(turn).paddingTop);
  }

  /** The last turn that begins above the reading line. */
  #turnAt(/** @type {number} */ top) {
    const { children } = this.#turns;
    let [low, high] = [0, children.length - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.#topOf(children[middle]) <= top + NEAR_PX) low = middle;
      else high = middle - 1;
    }
    return children[low] ?? null;
  }

  /** The reader has opened or folded something: what is in sight stays there. */
  #stay() {
    if (!this.#isPlaced) return;
    this.#follows &&= this.#below <= NEAR_PX;
    this.#isAtTop = false;
    this.#note();
  }

  get #below() {
    const { clientHeight, scrollHeight, scrollTop } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight;
  }

  #scrolled() {
    const { clientHeight, clientWidth, scrollHeight, scrollTop } = this.#scroller;
    const { height, whole, width } = this.#size;
    const isOther = clientWidth !== width || clientHeight !== height || scrollHeight < whole || (this.#follows && scrollHeight !== whole);
    if (!this.#isPlaced || isOther) return this.#settle();
    if (scrollTop === this.#top) return;
    const isUpwards = scrollTop < this.#top;
    const turn = this.#turnAt(scrollTop);
    const start = turn ? this.#topOf(turn) : 0;
    const isLast = turn === this.#turns.lastElementChild;
    // Where all of the last answer is in sight its end is its beginning, which is where it stays.
    this.#follows = isLast && scrollTop > start + 1 && this.#below <= (isUpwards ? 1 : NEAR_PX);
    this.#isAtTop = !this.#follows && Math.abs(scrollTop - start) <= 1;
    this.#note();
    if (turn === this.#turn) return;
    this.#turn = turn;
    this.#moved();
  }
}
