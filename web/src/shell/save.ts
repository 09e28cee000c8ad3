/** Files for the reader. */

const LONGEST = 100; // characters of a name, without its ending

/** Offer a file under a name; what no file system takes is left out of the name. */
export function saveFile(file: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = fileName(name);
  link.click();
  // The browser reads it after the click.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export function fileName(name: string): string {
  const at = name.lastIndexOf(".");
  // Control characters, and those that mean something to a system or turn the direction of the text.
  const plain = name.slice(0, at).replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069/\\:*?"<>|]+/g, " ");
  const short = [...plain.trim()].slice(0, LONGEST).join("").replace(/^[. ]+|[. ]+$/g, "");
  return `${short || "conversation"}${name.slice(at)}`;
}
