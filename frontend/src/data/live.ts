/** Live rows: one subscription for each part that is looked at, shared by all who look, healed when it breaks. */

import type { ReactiveController, ReactiveControllerHost } from "lit";
import { type Failure, failureOf } from "./actions";
import type { Connection, Hass } from "./hass";
import type { Parts } from "./types";

/** How long a part that nobody looks at stays subscribed: somebody turning a page soon looks again. */
const LINGER_MS = 3_000;
const RETRY_FIRST_MS = 500;
const RETRY_MOST_MS = 10_000;
/** The id of the one row of a part that is told as a whole. */
export const WHOLE = "whole";

type Rows = ReadonlyMap<string, unknown>;

export interface Message {
  rows?: Record<string, unknown>;
  changed?: Record<string, unknown>;
  removed?: string[];
  /** False: Home Assistant has not heard this brain yet, and knows of no row whether it is there. */
  known?: boolean;
  /** It was ended. After a reconnect Home Assistant's frontend ends some of its own by their old numbers: now ours. */
  ended?: true;
}

/** Returns the rows after a message; the first replaces all, later ones change some. */
export function merged(rows: Rows, message: Message): Rows {
  if (message.rows) return new Map(Object.entries(message.rows));
  const now = new Map(rows);
  for (const id of message.removed ?? []) now.delete(id);
  for (const [id, row] of Object.entries(message.changed ?? {})) now.set(id, row);
  return now;
}

/** Ends a subscription; without a socket there is nothing to end. */
function end(unsubscribe: () => Promise<void> | void): void {
  void Promise.resolve(unsubscribe()).catch(() => undefined);
}

class Channel {
  rows: Rows = new Map();
  loaded = false;
  failure: Failure | null = null;

  private readonly lookers = new Set<() => void>();
  private unsubscribe: (() => Promise<void> | void) | null = null;
  private generation = 0;
  private wait = RETRY_FIRST_MS;
  private open = false;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private leaving: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly connection: Connection,
    private readonly request: Record<string, unknown>,
    private readonly gone: () => void,
  ) {}

  look(changed: () => void): () => void {
    clearTimeout(this.leaving);
    if (!this.open) {
      this.open = true;
      this.connection.addEventListener("ready", this.again);
      this.again();
    } else if (this.lookers.size === 0 && this.failure && !this.unsubscribe) {
      this.again();
    }
    this.lookers.add(changed);
    return () => {
      this.lookers.delete(changed);
      if (this.lookers.size === 0) {
        clearTimeout(this.leaving);
        this.leaving = setTimeout(this.close, LINGER_MS);
      }
    };
  }

  private tell(): void {
    for (const changed of [...this.lookers]) changed();
  }

  /** Subscribes anew: at first, and whenever the socket to Home Assistant is back, which knows nothing of before. */
  private readonly again = (): void => {
    this.wait = RETRY_FIRST_MS;
    this.unsubscribe = null;
    void this.subscribe();
  };

  private async subscribe(): Promise<void> {
    clearTimeout(this.retry);
    this.generation += 1;
    const mine = this.generation;
    try {
      const unsubscribe = await this.connection.subscribeMessage<Message>(
        (message) => {
          if (mine !== this.generation) return;
          if (message.ended) {
            this.unsubscribe = null;
            void this.subscribe();
            return;
          }
          // What was known before is still the last that was said.
          if (message.known !== false) {
            this.rows = merged(this.rows, message);
            this.loaded = true;
          }
          this.failure = null;
          this.tell();
        },
        this.request,
        { resubscribe: false },
      );
      if (mine === this.generation) this.unsubscribe = unsubscribe;
      else end(unsubscribe);
    } catch (error) {
      if (mine !== this.generation) return;
      // A Home Assistant that is starting does not know the command yet.
      this.failure = failureOf(error);
      this.tell();
      this.retry = setTimeout(() => void this.subscribe(), this.wait);
      this.wait = Math.min(this.wait * 2, RETRY_MOST_MS);
    }
  }

  private readonly close = (): void => {
    if (this.lookers.size > 0) return;
    clearTimeout(this.retry);
    this.generation += 1;
    this.open = false;
    this.connection.removeEventListener("ready", this.again);
    if (this.unsubscribe) end(this.unsubscribe);
    this.unsubscribe = null;
    this.gone();
  };
}

const channels = new WeakMap<Connection, Map<string, Channel>>();

function channelFor(connection: Connection, part: string, entryId: string | undefined): Channel {
  let open = channels.get(connection);
  if (!open) {
    open = new Map();
    channels.set(connection, open);
  }
  const key = `${part} ${entryId ?? ""}`;
  let channel = open.get(key);
  if (!channel) {
    const request = { type: "kitty/subscribe", part, ...(entryId ? { entry_id: entryId } : {}) };
    channel = new Channel(connection, request, () => open.delete(key));
    open.set(key, channel);
  }
  return channel;
}

export interface LiveHost extends ReactiveControllerHost {
  hass?: Hass | undefined;
  /** The brain that is looked at; undefined where there is only one. */
  entryId?: string | undefined;
}

/** The rows of one part, for as long as its host is on the page; the host is drawn anew when they change. */
export class Live<P extends keyof Parts, T = Parts[P]> implements ReactiveController {
  private channel: Channel | null = null;
  private leave: (() => void) | null = null;
  private key = "";
  private readonly ids = new WeakMap<Connection, number>();
  private connections = 0;
  private connected = false;

  constructor(
    private readonly host: LiveHost,
    private readonly part: P,
    /** `everywhere`: the part is the same whichever brain is looked at. */
    private readonly options: { everywhere?: boolean } = {},
  ) {
    host.addController(this);
  }

  /** Whether the rows are there; before that nothing is known. */
  get loaded(): boolean {
    return this.channel?.loaded ?? false;
  }

  /** Why nothing comes, where that is so now. */
  get failure(): Failure | null {
    return this.channel?.failure ?? null;
  }

  get rows(): ReadonlyMap<string, T> {
    return (this.channel?.rows ?? new Map()) as ReadonlyMap<string, T>;
  }

  get all(): T[] {
    return [...this.rows.values()];
  }

  get(id: string | null | undefined): T | undefined {
    return id ? this.rows.get(id) : undefined;
  }

  /** The one row of a part that is told as a whole. */
  get whole(): T | undefined {
    return this.rows.get(WHOLE);
  }

  hostConnected(): void {
    this.connected = true;
    this.follow();
  }

  hostUpdate(): void {
    this.follow();
  }

  hostDisconnected(): void {
    this.connected = false;
    this.key = "";
    this.leave?.();
    this.leave = null;
  }

  private follow(): void {
    const connection = this.host.hass?.connection;
    if (!connection || !this.connected) return;
    if (!this.ids.has(connection)) this.ids.set(connection, ++this.connections);
    const entryId = this.options.everywhere ? undefined : this.host.entryId;
    const key = `${this.ids.get(connection)} ${entryId ?? ""}`;
    if (key === this.key) return;
    this.key = key;
    this.leave?.();
    this.channel = channelFor(connection, this.part, entryId);
    this.leave = this.channel.look(() => this.host.requestUpdate());
  }
}
