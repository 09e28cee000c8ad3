/** Ids of our own: 127 bits of chance. `crypto.randomUUID` is missing in pages of plain http. */

export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return btoa(String.fromCharCode(...bytes)).slice(0, 22).replace(/\W/g, "_");
}
