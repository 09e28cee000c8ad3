// What this tab remembers over a reload: its run's id, and the form that it was started with; never the
// text of an answer, and never the key. And the run that the address names, which no server gets to see.

/** @import { Fields } from "./form.js" */

const STORED_AS = "stream-serve.run";
const RUN_ID = /^[A-Za-z0-9_-]{16,128}$/;

/** @param {{id: string, fields: Fields | null}} run */
export function remember({ id, fields }) {
  try {
    sessionStorage.setItem(STORED_AS, JSON.stringify({ id, fields }));
  } catch {
    // Storage is switched off or full: a reload then begins anew.
  }
}

export function forget() {
  try {
    sessionStorage.removeItem(STORED_AS);
  } catch {
    // As above.
  }
}

/** @returns {{id: string, fields: Partial<Fields> | null} | null} the run that this tab had before it was reloaded */
export function recall() {
  try {
    const { id, fields } = JSON.parse(sessionStorage.getItem(STORED_AS) ?? "{}");
    return RUN_ID.test(id ?? "") ? { id, fields: fields ?? null } : null;
  } catch {
    return null;
  }
}

/** The run that the address names (`#run=…`): its id, "" for what cannot be one, null where it names none. */
export function named() {
  const id = new URLSearchParams(location.hash.slice(1)).get("run");
  if (id === null) return null;
  return RUN_ID.test(id) ? id : "";
}

/** Take the run's name out of the address. */
export function unname() {
  if (named() !== null) history.replaceState(null, "", location.pathname + location.search);
}

/**
 * The address at which another tab follows a run.
 * @param {string} id
 */
export function address(id) {
  return `${location.pathname}#run=${encodeURIComponent(id)}`;
}
