/** Conversations: what this person and KITTY said to each other, how each answer came about, and what KITTY remembers. */

import { mdiArrowLeft, mdiChatOutline, mdiSend, mdiStop } from "@mdi/js";
import { css, html, nothing, type PropertyValues } from "lit";
import { state } from "lit/decorators.js";
import { type Failure, failureOf } from "../data/actions";
import { Live } from "../data/live";
import { ask } from "../mind/ask";
import { newId } from "../mind/figures";
import "../mind/memory";
import "../mind/participants";
import { rich } from "../mind/rich";
import { richStyles } from "../mind/rich-styles";
import { follow, tabStyles, tabs } from "../mind/tabs";
import type { Attempt, Budget, Call, Conversation, Message, Mind, Page, Thread } from "../mind/types";
import { loadChoices, tierName } from "../mind/words";
import { navigate } from "../panel";
import { define } from "../ui/define";
import { dateTime, milliseconds, money, number, percent, relative, time } from "../ui/format";
import "../ui/icon";
import { KittyPage } from "../ui/page";
import { say } from "../ui/say";
import { empty, failed } from "../ui/states";
import { shared } from "../ui/styles";

const ROOT = "/kitty/conversations";
const MEMORY = "memory";
const NEW = "new";
/** What every workshop can be asked without a model; the brain's own rules speak this language only. */
const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  en: ["Which doors are unlocked?", "What is printing?", "What needs my approval?"],
};
/** Several things are told at once when an answer is over: they are read once. */
const SOON_MS = 300;
const HALF_A_DAY_S = 43_200;

/** What is being said now. */
interface Turn {
  id: string;
  /** Where it was asked. */
  place: string;
  question: string;
  answer: string;
  tools: string[];
  stop: AbortController;
}

@define("kitty-page-conversations")
export class KittyPageConversations extends KittyPage {
  private readonly mind = new Live<"mind", Mind>(this, "mind");
  private readonly budget = new Live<"budget", Budget>(this, "budget");
  @state() private talks: Conversation[] | undefined;
  @state() private more: string | null = null;
  @state() private thread: Thread | undefined;
  @state() private failure: Failure | undefined;
  @state() private turn: Turn | undefined;
  private seen: unknown;
  private asked = "";
  private soon: ReturnType<typeof setTimeout> | undefined;
  /** Counts what was read: only the last answer counts. */
  private reads = 0;

  static override styles = [
    shared,
    tabStyles,
    richStyles,
    css`
      .both {
        display: grid;
        gap: var(--space);
        grid-template-columns: minmax(220px, 320px) minmax(0, 1fr);
        align-items: start;
      }
      :host([narrow]) .both {
        grid-template-columns: minmax(0, 1fr);
      }
      ul.talks {
        display: grid;
        list-style: none;
        margin: 0;
        padding: 8px;
      }
      .talks a {
        border-radius: 8px;
        color: inherit;
        display: grid;
        gap: 2px;
        padding: 8px 12px;
        text-decoration: none;
      }
      .talks a[aria-current="page"] {
        background: color-mix(in srgb, var(--primary-color) 16%, transparent);
      }
      .title {
        display: -webkit-box;
        overflow: hidden;
        overflow-wrap: anywhere;
        -webkit-box-orient: vertical;
        -webkit-line-clamp: 2;
      }
      .talk {
        display: grid;
        grid-template-rows: auto 1fr auto;
        gap: 12px;
        min-height: min(560px, calc(100dvh - 220px));
      }
      .said {
        display: grid;
        gap: 12px;
        align-content: start;
      }
      .message {
        border-radius: 16px;
        display: grid;
        gap: 6px;
        justify-self: start;
        max-width: min(100%, 720px);
        min-width: 0;
        padding: 10px 14px;
        background: color-mix(in srgb, var(--primary-text-color) 7%, transparent);
      }
      .message.user {
        background: color-mix(in srgb, var(--primary-color) 20%, transparent);
        justify-self: end;
      }
      .message .text {
        overflow-wrap: anywhere;
        white-space: pre-line;
      }
      .about {
        font-size: 12px;
      }
      details > summary {
        cursor: pointer;
      }
      details .stack {
        gap: 8px;
        margin-block-start: 8px;
      }
      form {
        display: flex;
        gap: 8px;
        align-items: end;
      }
      textarea {
        flex: 1;
        min-width: 0;
        resize: vertical;
      }
    `,
  ];

  override connectedCallback(): void {
    super.connectedCallback();
    void this.updateComplete.then(() => loadChoices(this.hass)).then(() => this.requestUpdate());
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearTimeout(this.soon);
    this.turn?.stop.abort();
  }

  /** What is looked at: of which brain, and which conversation. */
  private get place(): string {
    return `${this.entryId ?? ""} ${this.rest}`;
  }

  /** The conversation that the address names. */
  private get shown(): string {
    return this.rest === MEMORY ? "" : this.rest;
  }

  override willUpdate(changed: PropertyValues<this>): void {
    super.willUpdate(changed);
    if (!this.hass) return;
    const key = `${this.place} ${this.hearing}`;
    // Whenever something was answered anywhere, there may be more to read.
    if (this.mind.whole !== this.seen || key !== this.asked) {
      if (key !== this.asked && this.thread?.conversation.id !== this.shown) this.thread = undefined;
      const first = this.talks === undefined || key !== this.asked;
      this.seen = this.mind.whole;
      this.asked = key;
      clearTimeout(this.soon);
      if (this.hearing !== null) this.soon = setTimeout(() => void this.read(), first ? 0 : SOON_MS);
    }
  }

  private async read(): Promise<void> {
    if (this.rest === MEMORY || this.turn?.place === this.place) return;
    const shown = this.shown;
    this.reads += 1;
    const mine = this.reads;
    try {
      const page = await this.call<Page<Conversation>>("get_conversations", { ...this.here });
      if (mine !== this.reads) return;
      this.talks = page.items;
      this.more = page.cursor;
      if (shown && shown !== NEW && page.items.some((one) => one.id === shown)) {
        const thread = await this.call<Thread>("get_conversations", { conversation_id: shown, ...this.here });
        if (mine !== this.reads) return;
        if (shown === this.shown) this.thread = thread;
      }
      this.failure = undefined;
    } catch (error) {
      if (mine === this.reads) this.failure = failureOf(error);
    }
  }

  override render() {
    const here = this.rest === MEMORY ? `${ROOT}/${MEMORY}` : ROOT;
    return html`<div class="stack">
      ${tabs(
        this.t("conversations.parts"),
        [
          { href: ROOT, label: this.t("conversations.title") },
          { href: `${ROOT}/${MEMORY}`, label: this.t("conversations.memory") },
        ],
        here,
      )}
      ${
        this.rest === MEMORY
          ? html`<kitty-memory .hass=${this.hass} .entryId=${this.entryId} .narrow=${this.narrow}></kitty-memory>`
          : this.conversations()
      }
    </div>`;
  }

  private conversations() {
    if (!this.talks) {
      return this.failure && !this.isAway() ? failed(this.hass, this.failure, () => void this.read()) : this.notYet;
    }
    const open = this.shown !== "";
    return html`<div class="both">
      ${this.narrow && open ? nothing : this.list(this.talks)} ${open || !this.narrow ? this.talk() : nothing}
    </div>`;
  }

  private list(talks: Conversation[]) {
    return html`<div class="stack">
      <button class="primary" @click=${() => navigate(`${ROOT}/${NEW}`)}>${this.t("conversations.begin")}</button>
      ${
        talks.length
          ? html`<ul class="card talks">
              ${talks.map((one) => html`<li>${this.entry(one)}</li>`)}
            </ul>`
          : empty(this.t("conversations.none"), mdiChatOutline)
      }
      ${
        this.more
          ? html`<button ?disabled=${this.busy.has("more")} @click=${() => this.readMore()}>
              ${this.t("conversations.more")}
            </button>`
          : nothing
      }
      <p class="muted">${this.t("conversations.forgotten")}</p>
    </div>`;
  }

  private entry(one: Conversation) {
    const others = one.participants.length > 1;
    return html`<a
      href="${ROOT}/${one.id}"
      aria-current=${one.id === this.shown ? "page" : nothing}
      @click=${follow}
    >
      <span class="title">${one.title ?? this.t("conversations.untitled")}</span>
      <span class="muted about">
        ${relative(this.hass, one.last_message_at)} · ${this.t("conversations.turns", { n: one.turns })}
        ${others ? html` · ${one.people.filter(Boolean).join(", ")}` : nothing}
      </span>
      ${one.waits ? html`<span><span class="chip warn">${this.t("conversations.waits")}</span></span>` : nothing}
    </a>`;
  }

  private readMore() {
    const { reads } = this;
    return this.doing("more", async () => {
      const page = await this.call<Page<Conversation>>("get_conversations", { cursor: this.more, ...this.here });
      // The list was read anew meanwhile, perhaps of another brain: this is no part of it.
      if (reads !== this.reads) return;
      const known = new Set(this.talks?.map((one) => one.id));
      this.talks = [...(this.talks ?? []), ...page.items.filter((one) => !known.has(one.id))];
      this.more = page.cursor;
    });
  }

  private talk() {
    const { thread } = this;
    const turn = this.turn?.place === this.place ? this.turn : undefined;
    const missing =
      this.shown !== "" && this.shown !== NEW && !thread && !turn && !this.talks?.some((one) => one.id === this.shown);
    return html`<section class="card talk" aria-label=${this.t("conversations.talk")}>
      <div class="row">
        ${
          this.narrow
            ? html`<button class="icon" aria-label=${this.t("conversations.back")} @click=${() => navigate(ROOT)}>
                <kitty-icon .path=${mdiArrowLeft}></kitty-icon>
              </button>`
            : nothing
        }
        <h2 class="grow title">${thread?.conversation.title ?? this.t("conversations.new")}</h2>
        <kitty-participants
          .hass=${this.hass}
          .entryId=${this.entryId}
          .talk=${thread?.conversation}
          @changed=${() => this.read()}
          @left=${() => navigate(ROOT)}
        ></kitty-participants>
      </div>
      <div class="said" role="log" aria-live="polite">
        ${missing ? html`<p class="muted">${this.t("conversations.gone")}</p>` : nothing}
        ${
          thread?.cursor
            ? html`<div class="row">
                <button ?disabled=${this.busy.has("earlier")} @click=${() => this.readEarlier(thread)}>
                  ${this.t("conversations.earlier")}
                </button>
              </div>`
            : nothing
        }
        ${[...(thread?.items ?? [])].reverse().map((one) => this.message(one))} ${turn ? this.now(turn) : nothing}
        ${missing || thread || turn ? nothing : this.examples()}
      </div>
      ${missing ? nothing : this.form()}
    </section>`;
  }

  /** To whoever has said nothing yet: what can be said. */
  private examples() {
    const examples = EXAMPLES[this.hass.language.split("-")[0] ?? ""];
    if (!examples || this.talks?.length) return nothing;
    return html`<p class="muted">${this.t("conversations.examples")}</p>
      <div class="row">
        ${examples.map((text) => html`<button @click=${() => this.try(text)}>${text}</button>`)}
      </div>`;
  }

  /** Sends an example as if it had been written. */
  private try(text: string): void {
    const field = this.renderRoot.querySelector<HTMLTextAreaElement>("textarea[name=text]");
    if (!field) return;
    field.value = text;
    field.form?.requestSubmit();
  }

  private readEarlier(thread: Thread) {
    return this.doing("earlier", async () => {
      const id = thread.conversation.id;
      const page = await this.call<Thread>("get_conversations", {
        conversation_id: id,
        cursor: thread.cursor,
        ...this.here,
      });
      // What was read anew meanwhile has another beginning.
      if (this.thread !== thread) return;
      this.thread = { ...this.thread, items: [...this.thread.items, ...page.items], cursor: page.cursor };
    });
  }

  private message(one: Message) {
    const mine = one.role === "user";
    const name = mine && one.user_id !== this.hass.user?.id ? one.name : null;
    return html`<article class="message ${one.role}" aria-label=${mine ? (name ?? this.t("conversations.you")) : "KITTY"}>
      ${name ? html`<span class="muted about">${name}</span>` : nothing}
      ${mine ? html`<div class="text">${one.text}</div>` : html`<div class="rich">${rich(one.text)}</div>`}
      ${one.answer ? this.about(one.answer, one.calls ?? [], one.trust) : nothing}
      <span class="muted about">${this.when(one.created_at)}</span>
    </article>`;
  }

  /** How an answer came about: in one line, and on demand as a whole. */
  private about(answer: NonNullable<Message["answer"]>, calls: Call[], trust: string) {
    return html`<div class="row about">
        <span class="chip">${tierName(this.hass, answer.tier)}${answer.model ? ` · ${answer.model}` : nothing}</span>
        ${answer.cached ? html`<span class="chip good">${this.t("conversations.cached")}</span>` : nothing}
        <span class="chip">${answer.cost ? this.money(answer.cost) : this.t("conversations.free")}</span>
        <span class="chip">${milliseconds(this.hass, answer.stages?.answer ?? answer.latency_ms)}</span>
        ${trust === "outside" ? html`<span class="chip warn">${this.t("conversations.outside")}</span>` : nothing}
      </div>
      <details class="about">
        <summary>${this.t("conversations.why")}</summary>
        <div class="stack">
          ${this.attempt(answer)}
          ${
            answer.tried.length
              ? html`<p>${this.t("conversations.tried")}</p>
                  <ul>
                    ${answer.tried.map((one) => html`<li>${this.line(one)}</li>`)}
                  </ul>`
              : nothing
          }
          ${calls.map((one) => this.tool(one))}
        </div>
      </details>`;
  }

  private attempt(one: Attempt) {
    const stages = Object.entries(one.stages ?? {});
    return html`<dl>
      <dt>${this.t("conversations.reason")}</dt>
      <dd>${one.reason.replaceAll("_", " ")}</dd>
      <dt>${this.t("conversations.confidence")}</dt>
      <dd>${percent(this.hass, one.confidence)}</dd>
      <dt>${this.t("conversations.took")}</dt>
      <dd>${milliseconds(this.hass, one.latency_ms)}</dd>
      ${
        one.tokens_in === null && one.tokens_out === null
          ? nothing
          : html`<dt>${this.t("conversations.tokens")}</dt>
              <dd>${number(this.hass, one.tokens_in ?? 0)} + ${number(this.hass, one.tokens_out ?? 0)}</dd>`
      }
      ${stages.map(
        ([name, took]) => html`<dt>${name.replaceAll("_", " ")}</dt>
          <dd>${milliseconds(this.hass, took)}</dd>`,
      )}
    </dl>`;
  }

  /** The time of what was said lately, else the day, too. */
  private when(at: number): string {
    return Date.now() / 1000 - at < HALF_A_DAY_S ? time(this.hass, at) : dateTime(this.hass, at);
  }

  private money(cost: number): string {
    return money(this.hass, cost, this.budget.whole?.currency);
  }

  private line(one: Attempt): string {
    const who = one.model ? `${tierName(this.hass, one.tier)} · ${one.model}` : tierName(this.hass, one.tier);
    const about = [one.reason.replaceAll("_", " "), milliseconds(this.hass, one.latency_ms)];
    if (one.cost) about.push(this.money(one.cost));
    return this.named(who, about.join(" · "));
  }

  private tool(one: Call) {
    return html`<div class="stack">
      <div class="row">
        <span>${this.t("conversations.tool", { what: one.name })}</span>
        ${one.error ? html`<span class="chip bad">${this.t("conversations.tool_failed")}</span>` : nothing}
      </div>
      <pre class="data">${written(one.arguments)}</pre>
      ${one.result === undefined ? nothing : html`<pre class="data">${written(one.result)}</pre>`}
    </div>`;
  }

  private now(turn: Turn) {
    return html`<article class="message user" aria-label=${this.t("conversations.you")}>
        <div class="text">${turn.question}</div>
      </article>
      <article class="message assistant" aria-label="KITTY" aria-busy="true">
        ${turn.answer ? html`<div class="rich">${rich(turn.answer)}</div>` : html`<p class="muted">${this.t("conversations.thinking")}</p>`}
        ${turn.tools.map((name) => html`<span class="muted about">${this.t("conversations.tool", { what: name })}</span>`)}
      </article>`;
  }

  private form() {
    return html`<form @submit=${this.send}>
      <textarea
        name="text"
        rows="1"
        maxlength="9000"
        aria-label=${this.t("conversations.ask")}
        placeholder=${this.t("conversations.ask")}
        @keydown=${this.onKey}
      ></textarea>
      ${
        this.turn
          ? html`<button type="button" class="icon" aria-label=${this.t("conversations.stop")} @click=${() => this.turn?.stop.abort()}>
              <kitty-icon .path=${mdiStop}></kitty-icon>
            </button>`
          : html`<button class="icon" aria-label=${this.t("conversations.send")}>
              <kitty-icon .path=${mdiSend}></kitty-icon>
            </button>`
      }
    </form>`;
  }

  private onKey(event: KeyboardEvent): void {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    (event.target as HTMLTextAreaElement).form?.requestSubmit();
  }

  private send(event: SubmitEvent): void {
    event.preventDefault();
    const field = (event.target as HTMLFormElement).elements.namedItem("text") as HTMLTextAreaElement;
    const text = field.value.trim();
    if (!text || this.turn) return;
    field.value = "";
    void this.say(text, field);
  }

  private async say(text: string, field: HTMLTextAreaElement): Promise<void> {
    // What was said in it may still be on its way.
    const isKnown = [this.thread?.conversation, ...(this.talks ?? [])].some((one) => one?.id === this.shown);
    const goesOn = isKnown ? this.shown : undefined;
    const id = goesOn ?? newId();
    const { place } = this;
    const turn: Turn = { id, place, question: text, answer: "", tools: [], stop: new AbortController() };
    this.turn = turn;
    const heard = {
      words: (more: string) => {
        turn.answer += more;
        this.turn = { ...turn };
      },
      tool: (name: string) => {
        turn.tools.push(name);
        this.turn = { ...turn };
      },
    };
    try {
      await ask(this.hass, { text, conversationId: id, entryId: this.entryId }, heard, turn.stop.signal);
    } catch (error) {
      say(failureOf(error).message, "error");
      if (!field.value) field.value = text;
    }
    this.turn = undefined;
    if (!this.isConnected) return;
    // Who looks at something else by now is left there.
    if (goesOn || place !== this.place) await this.read();
    else {
      this.talks = undefined;
      navigate(`${ROOT}/${id}`);
    }
  }

  override updated(changed: PropertyValues): void {
    super.updated(changed);
    if (!changed.has("turn") && !changed.has("thread")) return;
    const last = this.renderRoot.querySelector(".said > :last-child");
    if (this.turn || changed.get("thread") === undefined) last?.scrollIntoView({ block: "nearest" });
  }
}

/** Returns what a tool was given or told, as it can be read. */
function written(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value, null, 1) ?? "");
}
