/** Values that others watch: a signal holds one, and an effect runs again when one that it has read changed. */

export interface Signal<T> {
  /** Reading it in an effect makes the effect run again after a change. */
  value: T;
  /** Return the value, and be told nothing of changes. */
  peek(): T;
}

interface Watcher {
  run(): void;
  sources: Set<Set<Watcher>>;
}

const ROUNDS = 100; // of effects that make each other run, after which that is a defect

let running: Watcher | undefined;
let depth = 0;
const waiting = new Set<Watcher>();

export function signal<T>(value: T): Signal<T> {
  const watchers = new Set<Watcher>();
  return {
    get value() {
      if (running) running.sources.add(watchers.add(running));
      return value;
    },
    set value(next) {
      if (Object.is(value, next)) return;
      value = next;
      batch(() => watchers.forEach((one) => waiting.add(one)));
    },
    peek: () => value,
  };
}

/** Run something; the effects of all that it changes run once, behind it. */
export function batch<T>(change: () => T): T {
  depth++;
  try {
    return change();
  } finally {
    if (!--depth) settle();
  }
}

/** Run something now, and after each change of what it has read; what it returns is called before each, and at the end. */
export function effect(act: () => (() => void) | void): () => void {
  let clean: (() => void) | void;
  const leave = () => {
    for (const watchers of watcher.sources) watchers.delete(watcher);
    watcher.sources.clear();
    untracked(() => clean?.());
    clean = undefined;
  };
  const watcher: Watcher = {
    sources: new Set(),
    run: () => {
      leave();
      clean = tracked(watcher, act);
    },
  };
  watcher.run();
  return () => {
    waiting.delete(watcher);
    leave();
  };
}

/** Read signals in an effect without watching them. */
export const untracked = <T>(read: () => T): T => tracked(undefined, read);

function tracked<T>(watcher: Watcher | undefined, act: () => T): T {
  const before = running;
  running = watcher;
  try {
    return act();
  } finally {
    running = before;
  }
}

/** Run what waits, and what that makes wait. One that throws does not keep the others from it. */
function settle(): void {
  let failure: { error: unknown } | undefined;
  for (let round = 0; waiting.size; round++) {
    if (round > ROUNDS) {
      waiting.clear();
      throw new Error("effects change what they read, for ever");
    }
    const now = [...waiting];
    depth++;
    for (const one of now) {
      if (!waiting.delete(one)) continue; // disposed of by one before it
      try {
        one.run();
      } catch (error) {
        failure ??= { error };
      }
    }
    depth--;
  }
  if (failure) throw failure.error;
}
