/** Whether a picture that is in its own address is too large to be shown before it is asked for. */

const CHARACTERS = 350_000; // of an address, of about 256 KB
const SIDE = 8000; // pixels
const HEAD = /^data:image\/[^,]*;base64,/i;

/** Return whether a picture may take much memory, by its address and what its header says: what cannot be read may. */
export function large(address: string): boolean {
  const head = HEAD.exec(address.slice(0, 100));
  if (!head || address.length > CHARACTERS) return true;
  try {
    // A PNG says its size at its beginning; of a JPEG, all that may be its size is looked at.
    const sizes = [...atob(decodeURIComponent(address.slice(head[0].length))).matchAll(/^\x89PNG.{12}\0\0(..)\0\0(..)|\xff[\xc0-\xcf]..[\x08\x0c](..)(..)/gs)];
    const sides = (sizes[0]?.[1] ? sizes.slice(0, 1) : sizes).flatMap((found) => found.slice(1).filter(Boolean));
    return !sides.length || sides.some((side) => side.charCodeAt(0) * 256 + side.charCodeAt(1) > SIDE);
  } catch {
    return true;
  }
}
