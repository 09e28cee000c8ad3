/**
 * What a browser says of itself: it is online again, the page is shown again.
 *
 * After such a moment a connection may be open in name only, and a pause has waited long enough. Outside of
 * browsers nothing is ever said.
 */

const WAKING = ["online", "offline", "pageshow", "visibilitychange", "resume"];
const heard = new Set<() => void>();
const tell = () => {
  for (const one of [...heard]) one();
};

/** Whether nobody sees this page. */
export const hidden = (): boolean => globalThis.document?.visibilityState === "hidden";

/** Call a function at each such moment; return what ends that. */
export function onWake(call: () => void): () => void {
  const listen = (add: boolean) => {
    for (const place of [globalThis.window, globalThis.document]) {
      for (const name of WAKING) place?.[add ? "addEventListener" : "removeEventListener"](name, tell);
    }
  };
  if (!heard.size) listen(true);
  heard.add(call);
  return () => {
    heard.delete(call);
    if (!heard.size) listen(false);
  };
}

/** Wait for some milliseconds; no longer when the signal aborts, or the browser wakes. */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      sleepy();
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    const sleepy = onWake(() => hidden() || done());
    signal?.addEventListener("abort", done);
    if (signal?.aborted) done();
  });
}

/** The pause before one more attempt: it grows, and no two clients keep the same time. */
export const backoff = (tries: number): number => Math.min(250 * 2 ** tries, 10_000) * (0.5 + Math.random() / 2);
