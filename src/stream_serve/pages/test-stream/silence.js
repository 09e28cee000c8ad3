// Notices a connection that is open in name only. The service sends a comment when it has had nothing to
// say for a while, so a longer silence means that the connection is gone and nobody said so. Where the
// browser went offline or came back, a connection that still works has a moment to show it.

/**
 * Milliseconds of silence that are borne: before the response, in it, and after the network changed.
 * @typedef {{opening: number, open: number, doubt: number}} Patience
 */

const LOOK = 1000; // milliseconds between two looks at the clock

/** The connection was silent for too long. */
export class Silent extends Error {
  constructor() {
    super("silence");
    this.name = "Silent";
  }
}

export class Silence {
  #heard = performance.now();
  #limit;
  #patience;
  #timer;
  #doubt;

  /**
   * @param {Patience} patience
   * @param {() => void} broken called once, at most
   */
  constructor(patience, broken) {
    this.#patience = patience;
    this.#limit = patience.opening;
    this.#doubt = () => {
      this.#heard = performance.now();
      this.#limit = Math.min(this.#limit, patience.doubt);
    };
    window.addEventListener("offline", this.#doubt);
    window.addEventListener("online", this.#doubt);
    this.#timer = setInterval(() => {
      if (performance.now() - this.#heard < this.#limit) return;
      this.end();
      broken();
    }, LOOK);
  }

  /** Something came. */
  heard() {
    this.#heard = performance.now();
    this.#limit = this.#patience.open;
  }

  /** Listen no more. */
  end() {
    clearInterval(this.#timer);
    window.removeEventListener("offline", this.#doubt);
    window.removeEventListener("online", this.#doubt);
  }
}
