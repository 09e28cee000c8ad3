/** What becomes of the page: it may be gone in a moment, or is seen again. */

type Undo = () => void;

/** Call a function whenever the page may be gone in a moment. Phones say no more than that it is hidden. */
export function onHide(call: () => void): Undo {
  const hidden = () => document.visibilityState === "hidden" && call();
  addEventListener("pagehide", call);
  document.addEventListener("visibilitychange", hidden);
  return () => {
    removeEventListener("pagehide", call);
    document.removeEventListener("visibilitychange", hidden);
  };
}

/** Call a function whenever the page is seen again, has a network again (then with true), or comes back from the history. */
export function onReturn(call: (online: boolean) => void): Undo {
  const shown = (event: Event) => {
    const first = event.type === "pageshow" && !(event as PageTransitionEvent).persisted;
    if (!first && document.visibilityState === "visible") call(event.type === "online");
  };
  const names = ["online", "pageshow", "focus"];
  for (const name of names) addEventListener(name, shown);
  document.addEventListener("visibilitychange", shown);
  return () => {
    for (const name of names) removeEventListener(name, shown);
    document.removeEventListener("visibilitychange", shown);
  };
}

/** Return a function that calls another one after a pause in which it was not called; `now` does not wait. */
export function debounced(ms: number, call: () => void): { later: () => void; now: () => void; drop: () => void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const drop = () => {
    clearTimeout(timer);
    timer = undefined;
  };
  const now = () => {
    if (timer === undefined) return;
    drop();
    call();
  };
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(now, ms);
  };
  return { later, now, drop };
}
