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

for (const place of [globalThis.window, globalThis.document]) {
  for (const name of WAKING) place?.addEventListener(name, tell);
}

/** Call a function at each such moment; return what ends that. */
export function onWake(call: () => void): () => void {
  heard.add(call);
  return () => heard.delete(call);
}

/** Call a function when a signal aborts, also when it has; return what ends that. */
export function onAbort(signal: AbortSignal | undefined, call: () => void): () => void {
  signal?.addEventListener("abort", call);
  if (signal?.aborted) call();
  return () => signal?.removeEventListener("abort", call);
}

/** Wait for some milliseconds; no longer when the signal aborts, or the browser wakes. */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      sleepy();
      stay();
      resolve();
    };
    let stay = () => {};
    const timer = setTimeout(done, milliseconds);
    const sleepy = onWake(() => hidden() || done());
    stay = onAbort(signal, done);
  });
}

/** The pause before one more attempt: it grows, and no two clients keep the same time. */
export const backoff = (tries: number): number => Math.min(250 * 2 ** tries, 10_000) * (0.5 + Math.random() / 2);
