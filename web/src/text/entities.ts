/** Named characters, which the lexer leaves to the HTML that it expects to be made. */

// Those that models write; others stay as they are.
const NAMES =
  "amp& lt< gt> quot\" apos' nbsp\u00a0 copy© reg® trade™ hellip… mdash— ndash– lsquo‘ rsquo’ ldquo“ rdquo” laquo« raquo» " +
  "bull• middot· deg° plusmn± times× divide÷ frac12½ sup2² sup3³ sect§ euro€ pound£ yen¥ cent¢ " +
  "larr← uarr↑ rarr→ darr↓ harr↔ rArr⇒ le≤ ge≥ ne≠ asymp≈ infin∞ minus− check✓ emsp\u2003 " +
  "auml\u00e4 ouml\u00f6 uuml\u00fc szlig\u00df eacute\u00e9";

const CHARACTERS = new Map(NAMES.split(" ").map((entry) => {
  const [, name = "", character = ""] = /^([A-Za-z]+\d*)(.*)$/su.exec(entry) ?? [];
  return [name, character];
}));

/** Return a text with its named and numbered characters written out. */
export function decode(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#[xX]([\da-fA-F]{1,6})|(\w{1,31}));/g, (source, decimal, hexadecimal, name) => {
    if (name) return CHARACTERS.get(name) ?? source;
    const point = decimal ? Number.parseInt(decimal, 10) : Number.parseInt(hexadecimal, 16);
    return point === 0 || point > 0x10ffff || (point >= 0xd800 && point < 0xe000) ? "\ufffd" : String.fromCodePoint(point);
  });
}
