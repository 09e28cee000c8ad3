/** What the text's controls say, in the language of the page. */
export interface Words {
  /** Names a block of code whose language is not known. */
  code: string;
  copy: string;
  copied: string;
  notCopied: string;
  wrap: string;
  table: string;
  /** The button in the place of a picture that has yet to be loaded. */
  picture: (host: string, alt: string) => string;
  notes: string;
  /** A reference to a note, and the way back. */
  note: (number: string) => string;
  back: (number: string) => string;
}
