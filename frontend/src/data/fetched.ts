/** What is fetched and not live: read when it is shown, of another brain, when its key changes, when somebody wants it again, and until it can be told. */

import type { ReactiveController } from "lit";
import { type Failure, failureOf } from "./actions";
import type { LiveHost } from "./live";

/** Says by what it is to be read anew; null as long as nothing can be read, and once it can, it is read anew. */
export type About = () => string | null;

const ALWAYS: About = () => "";
/**
 * Why something cannot be told now and can be soon: what the integration's errors.py calls busy, which a test there
 * compares, and what is told on the way. "3" is the frontend's own: its line was cut.
 */
const PASSING = new Set([
  "3",
  "brain_timeout",
  "brain_unavailable",
  "database_busy",
  "drawing_busy",
  "internal",
  "not_awake",
  "overloaded",
  "rate_limited",
  "shutting_down",
  "standby",
  "storage_failed",
  "storage_full",
  "timeout",
]);
/** How long it waits at first; each time twice as long, three times. */
const AGAIN_MS = 10_000;
const LONGER_MOST = 3;

/** One answer of an action; what cannot be told now is asked for again, for as long as somebody looks. */
export class Fetched<T> implements ReactiveController {
  value: T | undefined;
  failure: Failure | null = null;
  /** Counts what was asked: only the last answer counts. */
  protected asked = 0;
  private key: string | undefined;
  private brain: string | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private tries = 0;

  constructor(
    protected readonly host: LiveHost,
    private readonly read: () => Promise<T>,
    private readonly about: About = ALWAYS,
    /** How long it waits once it was read: several things may change at once. */
    private readonly waitMs = 0,
  ) {
    host.addController(this);
  }

  hostUpdate(): void {
    const brain = this.host.entryId ?? "";
    if (this.brain !== undefined && brain !== this.brain) {
      // What another brain has told is not this one's.
      this.asked += 1;
      this.value = undefined;
      this.failure = null;
    }
    this.brain = brain;
    const about = this.host.hass ? this.about() : null;
    if (about === null) {
      clearTimeout(this.timer);
      this.key = undefined;
      return;
    }
    const key = `${brain} ${about}`;
    if (key === this.key) return;
    const known = this.key?.startsWith(`${brain} `);
    this.key = key;
    this.tries = 0;
    clearTimeout(this.timer);
    if (known && this.waitMs) this.timer = setTimeout(this.again, this.waitMs);
    else void this.again();
  }

  hostDisconnected(): void {
    clearTimeout(this.timer);
    this.key = undefined;
    this.asked += 1;
  }

  /** Reads it anew; what was read stays until then. */
  readonly again = async (): Promise<void> => {
    clearTimeout(this.timer);
    this.asked += 1;
    const mine = this.asked;
    try {
      const value = await this.read();
      if (mine !== this.asked) return;
      this.value = value;
      this.failure = null;
      this.tries = 0;
    } catch (error) {
      if (mine !== this.asked) return;
      this.failure = failureOf(error);
      if (PASSING.has(this.failure.code)) {
        this.timer = setTimeout(this.again, AGAIN_MS * 2 ** Math.min(this.tries, LONGER_MOST));
        this.tries += 1;
      }
    }
    this.host.requestUpdate();
  };
}

/** A part of a list, and where the next one begins. */
export interface Listing<T> {
  items: T[];
  cursor: string | null;
}

/** A list that is fetched in parts, the newest first. */
export class Listed<T> extends Fetched<Listing<T>> {
  constructor(
    host: LiveHost,
    private readonly part: (cursor: string | null) => Promise<Listing<T>>,
    about?: About,
    waitMs?: number,
  ) {
    super(host, () => part(null), about, waitMs);
  }

  get items(): T[] | undefined {
    return this.value?.items;
  }

  get cursor(): string | null {
    return this.value?.cursor ?? null;
  }

  /** Reads the next part, where there is one. */
  async more(): Promise<void> {
    const { value, asked } = this;
    if (!value?.cursor) return;
    const told = await this.part(value.cursor);
    if (asked !== this.asked) return;
    this.value = { items: [...value.items, ...told.items], cursor: told.cursor };
    this.host.requestUpdate();
  }
}
