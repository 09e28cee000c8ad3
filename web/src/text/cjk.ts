/** Scripts that are written without spaces between words, with their signs. */

export const CJK = String.raw`\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Bopomofo}\p{Script=Hangul}\u3000-\u303f\uff00-\uffef`;
export const IS_CJK = new RegExp(`[${CJK}]`, "u");
