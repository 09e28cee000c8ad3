/** Which addresses a model's text may point to. */

const SCHEMES = /^(?:https?|mailto|tel):$/;
const PICTURE = /^data:image\/(?:png|jpeg|gif|webp|avif);/i;
// What follows a host in an address, and what is not seen.
const PATH = /(:\/\/[^\s/?#]+|\.\p{L}{2,}\.?(?::\d+)?)[/?#]\S*/gu;
const UNSEEN = /[\p{Cf}\p{Default_Ignorable_Code_Point}]/gu;
const NAME = /[\p{L}\p{N}\p{M}_-]+(?:\.[\p{L}\p{N}\p{M}_-]+)*/gu;
const HOST = /\.(?:\p{L}[\p{L}\p{M}]+|xn--[a-z\d-]+)$|^\d+\.\d+\.\d+\.\d+$/u;

/** Read an address as Markdown means it: a backslash is not a slash. */
function read(address: string, base?: string): URL | undefined {
  try {
    return new URL(encodeURI(address).replaceAll("%25", "%"), base);
  } catch {
    return undefined;
  }
}

/** Return an address that a link may have, or nothing. */
export function linkTarget(address: string): URL | undefined {
  const url = read(address);
  return url && SCHEMES.test(url.protocol) ? url : undefined;
}

/** Return the host that a link leads to if its text looks like another one. */
export function otherHost(text: string, url: URL): string | undefined {
  if (!url.host) return undefined;
  const bare = (host: string) => host.replace(/^www\./, "");
  return url.username || hosts(text).some((host) => bare(host) !== bare(url.hostname)) ? url.host : undefined;
}

/** Return all that looks like a host to who reads a text. */
function hosts(text: string): string[] {
  const seen = text.replace(UNSEEN, "").normalize("NFKC").toLowerCase().replace(/。(?=[a-z\d])/g, ".");
  return (seen.replace(PATH, "$1 ").match(NAME) ?? []).filter((name) => HOST.test(name));
}

/** Return how a picture may be shown: at once, after the reader has agreed, or not at all. */
export function picture(address: string, base: string): { src: string; host?: string } | undefined {
  if (PICTURE.test(address)) return { src: address };
  const url = read(address, base);
  if (!url || !/^https?:$/.test(url.protocol)) return undefined;
  // Also this host: its other pages would be asked in the reader's name.
  return { src: url.href, host: url.host };
}
