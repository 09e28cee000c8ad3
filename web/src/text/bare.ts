/** One line of Markdown without its marks, for places that show text alone, such as titles. */

const LINK = /!?\[([^\]]*)\]\([^)]*\)/g;
const BEFORE = /^(?:#{1,6} |> ?|[-*+] (?:\[[ x]\] )?|`{3,}(?=[^`]*$)|~{3,}(?=[^~]*$))+/;
/** A mark, what it marks, and the mark again; where the line was cut, that is missing. Of 2*3*4 the stars are none. */
const MARKED = /(`+|\*{2,3}|~~|(?<![\p{L}\p{N}*])\*(?!\*))(?=\S)(.+?)(?:(?<=\S)\1|[*~`]?(?=…$))/gu;

export function bare(line: string): string {
  const inner = (_: string, mark: string, text: string): string => (mark.startsWith("`") ? text : text.replace(MARKED, inner));
  return line.replace(BEFORE, "").replace(LINK, "$1").replace(MARKED, inner);
}
