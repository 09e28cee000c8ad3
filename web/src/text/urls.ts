/** Which addresses a model's text may point to. */

const SCHEMES = new Set(["http:", "https:", "mailto:", "tel:"]);
const PICTURE = /^data:image\/(?:png|jpeg|gif|webp|avif);/i;
const LOOKS_LIKE_HOST = /(?:^|[\s/@(])((?:[\p{L}\p{N}-]+\.)+\p{L}{2,})(?=[\s/:?#)]|$)/u;

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
  return url && SCHEMES.has(url.protocol) ? url : undefined;
}

/** Return the host that a link leads to if its text looks like another one. */
export function otherHost(text: string, url: URL): string | undefined {
  if (!url.host) return undefined;
  const named = LOOKS_LIKE_HOST.exec(text)?.[1]?.toLowerCase();
  const bare = (host: string) => host.replace(/^www\./, "");
  return url.username || (named && bare(named) !== bare(url.hostname)) ? url.host : undefined;
}

/** Return how a picture may be shown: at once, after the reader has agreed, or not at all. */
export function picture(address: string, base: string): { src: string; host?: string } | undefined {
  if (PICTURE.test(address)) return { src: address };
  const url = read(address, base);
  if (!url || !/^https?:$/.test(url.protocol)) return undefined;
  return url.origin === new URL(base).origin ? { src: url.href } : { src: url.href, host: url.host };
}
