/**
 * The application that this page is part of: the page around it, or the one that opened it. It may hand over a token.
 *
 * How it works: both speak by `postMessage`. This page says
 * - `{type: "stream-serve:ready"}` when it listens,
 * - `{type: "stream-serve:token-wanted"}` when it needs a token, or the service does not take the last one any more;
 * the other one says, then or at any time,
 * - `{type: "stream-serve:token", token}`, with "" if it has none, or none any more.
 * It is taken from that window alone, and only if its origin is one of `STREAM_SERVE_EMBED_ORIGINS`, which also say whose
 * pages this one may be in. A token is in no address and in no storage: it ends with the page.
 */

const NAME = "stream-serve:";
const TOKEN = /^[\x21-\x7e]{1,8192}$/; // what a header carries
const PATIENCE = 5000;

/** Return the window that this page is part of, if there is one. */
export const windowAround = (): Window | undefined => (parent !== window ? parent : (opener as Window | null)) ?? undefined;

export class Host {
  #window: Window;
  #heard: (changed: boolean) => void;
  #origins: Promise<readonly string[]>;
  #know!: (origins: readonly string[]) => void;
  #allowed: readonly string[] = [];
  #required = false;
  #token = "";
  #state: "unheard" | "there" | "silent" = "unheard";
  #wanted: Promise<void> | undefined;
  #came: (() => void) | undefined;

  /** `heard` is called with each token that comes; `changed`: it was not asked for, so that it may be another user's, or it is gone. */
  constructor(around: Window, heard: (changed: boolean) => void) {
    this.#window = around;
    this.#heard = heard;
    this.#origins = new Promise((resolve) => (this.#know = resolve));
    addEventListener("message", this.#listen);
  }

  /** Whether it has ever handed a token over: nobody else is asked for a key then. */
  get there(): boolean {
    return this.#state === "there";
  }

  /** The service has said whose pages may be around this one, and whether it wants a key. */
  known(origins: readonly string[], required: boolean): void {
    this.#required = required;
    if (this.#allowed.length || !origins.length) return this.#know(this.#allowed);
    this.#allowed = origins;
    this.#say("ready");
    this.#know(origins);
  }

  /** Return the token, "" where there is none; after one that was `refused` another one is asked for. */
  async token(refused?: string): Promise<string> {
    const origins = await this.#origins;
    const needed = refused === undefined ? !this.#token && this.#required : !this.#token || this.#token === refused;
    if (origins.length && needed && this.#state !== "silent") await this.#ask();
    return this.#token;
  }

  close(): void {
    removeEventListener("message", this.#listen);
  }

  #ask(): Promise<void> {
    this.#wanted ??= new Promise<void>((resolve) => {
      this.#came = resolve;
      this.#say("token-wanted");
      setTimeout(resolve, PATIENCE);
    }).then(() => {
      this.#wanted = undefined;
      if (this.#state === "unheard") this.#state = "silent";
    });
    return this.#wanted;
  }

  #listen = ({ source, origin, data }: MessageEvent): void => {
    if (source !== this.#window || !this.#allowed.includes(origin) || data?.type !== `${NAME}token`) return;
    const { token } = data;
    if (typeof token !== "string" || !(token === "" || TOKEN.test(token))) return;
    const [before, asked] = [this.#token, this.#wanted];
    this.#token = token;
    if (token) {
      this.#allowed = [origin];
      this.#state = "there";
    }
    this.#came?.();
    if (token || before) this.#heard(token !== before && !(token && asked));
  };

  /** Say something that is no secret; a window of another origin does not hear it. */
  #say(what: "ready" | "token-wanted"): void {
    const around = location.ancestorOrigins?.[0] ?? originOf(document.referrer);
    const named = around !== undefined && this.#allowed.includes(around) ? [around] : this.#allowed;
    for (const origin of named) this.#window.postMessage({ type: NAME + what }, origin);
  }
}

const originOf = (address: string): string | undefined => (URL.canParse(address) ? new URL(address).origin : undefined);
