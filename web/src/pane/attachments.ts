/** What goes along with a question: text that was pasted, text files, and pictures, made smaller where they are large. */

import type { Content, Picture } from "../data/types.js";
import { withQuotes } from "./quote.js";

export type Attachment =
  | { readonly kind: "pasted"; readonly text: string }
  | { readonly kind: "file"; readonly name: string; readonly text: string }
  | Picture;

/** Why something cannot go along. */
export type Refusal = "large" | "kind" | "picture" | "pixels";

/** A text that is longer becomes an attachment when it is pasted: the box stays quick, and the question readable. */
export const LONG = 8000;

/** A body of the service takes 1 MiB by default, with all that is asked along. */
export const MOST_TEXT = 256 * 1024;
export const MOST_PICTURE = 400 * 1024;
export const MOST = 1_000_000; // characters of a question with its pictures

/** To be drawn, a picture takes the memory of all its pixels, however few bytes it has. */
export const MOST_MEGAPIXELS = 50;

const EDGES = [1568, 1024, 768]; // pixels; models see no more than the first of them
const QUALITIES = [0.85, 0.7];

/** Return a file as what goes along, or why it cannot. A picture is to be no longer than what is left for it, in characters. */
export async function read(file: File, left = MOST): Promise<Attachment | Refusal> {
  if (/^image\/(?:png|jpeg|gif|webp|avif|bmp)$/.test(file.type)) return shrunk(file, Math.min(MOST_PICTURE, left * 0.74));
  if (file.size > MOST_TEXT) return "large";
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    if (text.includes("\0")) return "kind";
    return { kind: "file", name: file.name, text: text.replace(/\r\n?/g, "\n") };
  } catch {
    return "kind";
  }
}

/** Return a picture drawn anew, and smaller where it is large. What else is in its file, such as where it was taken, stays out. */
async function shrunk(file: File, most: number): Promise<Attachment | Refusal> {
  try {
    if ((await pixels(file)) > MOST_MEGAPIXELS * 1e6) return "pixels";
    const bitmap = await createImageBitmap(file);
    const largest = Math.max(bitmap.width, bitmap.height);
    const ways = EDGES.flatMap((edge) => QUALITIES.map((quality): [number, string, number] => [edge, "image/jpeg", quality]));
    // A kind that the browser does not write becomes a PNG.
    if (file.size <= most && largest <= EDGES[0]!) ways.unshift([largest, file.type, 0.92]);
    for (const [edge, kind, quality] of ways) {
      const blob = await drawn(bitmap, Math.min(1, edge / largest), kind, quality);
      if (blob && blob.size <= most) return await taken(file.name, blob);
    }
    return "picture";
  } catch {
    return "kind"; // whatever its name says
  }
}

/** Return how many pixels a picture has; a browser reads that from its head, before any is drawn. */
async function pixels(file: File): Promise<number> {
  const image = new Image();
  image.src = URL.createObjectURL(file);
  try {
    await new Promise((resolve, reject) => {
      image.onload = resolve;
      image.onerror = reject;
    });
    return image.naturalWidth * image.naturalHeight;
  } finally {
    URL.revokeObjectURL(image.src);
  }
}

function drawn(bitmap: ImageBitmap, scale: number, kind: string, quality: number): Promise<Blob | null> {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d")!;
  // JPEG knows no transparency, and would show it black.
  context.fillStyle = "#fff";
  if (kind === "image/jpeg") context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, kind, quality));
}

function taken(name: string, blob: Blob): Promise<Attachment> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve({ kind: "picture", name, src: String(reader.result), bytes: blob.size });
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

/** Return how many characters are left for more of what goes along. */
export function left(words: string, attachments: readonly Attachment[]): number {
  return attachments.reduce((room, one) => room - (one.kind === "picture" ? one.src : one.text).length, MOST - words.length);
}

/** Return a question as it is sent: the words, then what was pasted, then the files; with pictures, as parts. */
export function contentOf(words: string, attachments: readonly Attachment[]): Content {
  const pasted = attachments.flatMap((one) => (one.kind === "pasted" ? [one.text] : []));
  const files = attachments.flatMap((one) => (one.kind === "file" ? [one] : []));
  const text = withQuotes([words, ...pasted].map((one) => one.trim()).filter(Boolean).join("\n\n"), files);
  const pictures = attachments.flatMap((one) => (one.kind === "picture" ? [{ type: "image_url", image_url: { url: one.src } }] : []));
  return pictures.length ? [...pictures, ...(text ? [{ type: "text", text }] : [])] : text;
}
