/** What KITTY remembers for this person and for the house: to be searched, forgotten, taken along and switched off. */

import { mdiDeleteOutline, mdiDownload, mdiHeadQuestionOutline } from "@mdi/js";
import { css, html, nothing, type PropertyValues } from "lit";
import { state } from "lit/decorators.js";
import { type Failure, failureOf } from "../data/actions";
import { Live } from "../data/live";
import type { Key } from "../i18n";
import { define } from "../ui/define";
import "../ui/dialog";
import { dateTime } from "../ui/format";
import "../ui/icon";
import { KittyPage } from "../ui/page";
import { empty, failed } from "../ui/states";
import { shared } from "../ui/styles";
import type { Memory, MemoryStatus, Mind, Page } from "./types";

const TRUST: Record<Memory["trust"], Key> = {
  person: "memory.trust_person",
  system: "memory.trust_system",
  outside: "memory.trust_outside",
};
const MOST_FOUND = 50;

@define("kitty-memory")
export class KittyMemory extends KittyPage {
  private readonly mind = new Live<"mind", Mind>(this, "mind");
  @state() private items: Memory[] | undefined;
  @state() private cursor: string | null = null;
  @state() private status: MemoryStatus | undefined;
  @state() private failure: Failure | undefined;
  /** What is looked for; empty: all is listed. */
  @state() private query = "";
  @state() private found: Memory[] | undefined;
  /** What somebody is asked whether it shall be forgotten. */
  @state() private doomed: Memory | "all" | undefined;
  private seen = "";
  /** Counts what was read: only the last answer counts. */
  private reads = 0;

  static override styles = [
    shared,
    css`
      ul {
        display: grid;
        gap: 8px;
        list-style: none;
        margin: 0;
        padding: 0;
      }
      li {
        display: grid;
        gap: 8px 16px;
        grid-template-columns: minmax(0, 1fr) auto;
        align-items: start;
        padding: 12px 16px;
      }
      .text {
        overflow-wrap: anywhere;
        white-space: pre-line;
      }
      .about {
        flex: 1 1 280px;
      }
      form {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 8px;
      }
      form input:not([type="checkbox"]) {
        flex: 1 1 200px;
        min-width: 0;
      }
      label.check {
        align-items: center;
        display: inline-flex;
        gap: 8px;
        min-height: 40px;
      }
    `,
  ];

  override willUpdate(changed: PropertyValues<this>): void {
    super.willUpdate(changed);
    if (!this.hass) return;
    const key = `${this.entryId ?? ""} ${this.mind.whole?.memories ?? ""} ${this.hearing}`;
    if (key === this.seen) return;
    this.seen = key;
    if (this.hearing !== null) void this.read();
  }

  private async read(): Promise<void> {
    this.reads += 1;
    const mine = this.reads;
    try {
      const page = await this.call<Page<Memory> & { status: MemoryStatus }>("get_memories", { ...this.here });
      if (mine !== this.reads) return;
      this.items = page.items;
      this.cursor = page.cursor;
      this.status = page.status;
      this.failure = undefined;
      if (this.query) await this.look();
    } catch (error) {
      if (mine === this.reads) this.failure = failureOf(error);
    }
  }

  private async look(): Promise<void> {
    const query = this.query;
    const page = await this.call<Page<Memory>>("search_memory", { query, limit: MOST_FOUND, ...this.here });
    if (query === this.query) this.found = page.items;
  }

  override render() {
    if (!this.items || !this.status) {
      return this.failure ? failed(this.hass, this.failure, () => void this.read()) : this.notYet;
    }
    const shown = this.query ? this.found : this.items;
    return html`<div class="stack">
      ${this.head(this.status)} ${this.forms()}
      ${shown ? this.list(shown) : this.notYet}
      ${
        this.cursor && !this.query
          ? html`<div class="row">
              <button ?disabled=${this.busy.has("more")} @click=${() => this.readMore()}>${this.t("memory.more")}</button>
            </div>`
          : nothing
      }
      ${this.question()}
    </div>`;
  }

  private head(status: MemoryStatus) {
    return html`<section class="card stack">
      <div class="row">
        <p class="about">
          ${this.t(status.enabled ? "memory.is_on" : "memory.is_off")}
          <span class="muted">${this.t("memory.counts", { own: status.own, house: status.house })}</span>
        </p>
        <button
          ?disabled=${this.busy.has("enable")}
          @click=${() => this.enable(!status.enabled)}
        >${this.t(status.enabled ? "memory.turn_off" : "memory.turn_on")}</button>
        <button ?disabled=${this.busy.has("export") || status.own === 0} @click=${() => this.export()}>
          <kitty-icon .path=${mdiDownload}></kitty-icon>${this.t("memory.export")}
        </button>
        <button
          class="danger"
          ?disabled=${status.own === 0}
          @click=${() => {
            this.doomed = "all";
          }}
        >${this.t("memory.forget_all")}</button>
      </div>
      ${status.trouble ? html`<p><span class="chip warn">${status.trouble}</span></p>` : nothing}
    </section>`;
  }

  private forms() {
    return html`<section class="card stack">
      <form role="search" @submit=${this.search}>
        <input type="search" name="query" maxlength="2000" aria-label=${this.t("memory.search")} placeholder=${this.t("memory.search")} @input=${this.cleared} />
        <button>${this.t("memory.find")}</button>
      </form>
      ${
        this.status?.enabled
          ? html`<form @submit=${this.remember}>
              <input name="text" required maxlength="2000" aria-label=${this.t("memory.new")} placeholder=${this.t("memory.new")} />
              <label class="check"><input type="checkbox" name="shared" />${this.t("memory.for_all")}</label>
              <button ?disabled=${this.busy.has("remember")}>${this.t("memory.remember")}</button>
            </form>`
          : nothing
      }
    </section>`;
  }

  private list(items: Memory[]) {
    if (items.length === 0)
      return empty(this.t(this.query ? "memory.not_found" : "memory.none"), mdiHeadQuestionOutline);
    return html`<ul aria-label=${this.t("memory.list")}>
      ${items.map(
        (one) => html`<li class="card">
          <div class="stack" style="gap: 6px">
            <div class="text">${one.text}</div>
            <div class="row">
              <span class="chip ${one.trust === "outside" ? "warn" : ""}">${this.t(TRUST[one.trust])}</span>
              <span class="chip">${this.source(one.source)}</span>
              ${one.shared ? html`<span class="chip info">${this.t("memory.shared")}</span>` : nothing}
              <span class="muted">${dateTime(this.hass, one.created_at)}</span>
            </div>
          </div>
          <button
            class="icon"
            aria-label=${this.t("memory.forget_this", { text: one.text.slice(0, 60) })}
            ?disabled=${this.busy.has(one.id)}
            @click=${() => {
              this.doomed = one;
            }}
          >
            <kitty-icon .path=${mdiDeleteOutline}></kitty-icon>
          </button>
        </li>`,
      )}
    </ul>`;
  }

  private source(source: string): string {
    const key = `memory.source_${source}` as Key;
    const words = this.t(key);
    return words === key ? source : words;
  }

  private question() {
    const { doomed } = this;
    const all = doomed === "all";
    const leave = () => {
      this.doomed = undefined;
    };
    return html`<kitty-dialog
      .open=${doomed !== undefined}
      .heading=${this.t(all ? "memory.forget_all" : "memory.forget")}
      @close=${leave}
    >
      <p>${all ? this.t("memory.sure_all", { n: this.status?.own ?? 0 }) : this.t("memory.sure")}</p>
      ${doomed && doomed !== "all" ? html`<p class="muted">${doomed.text}</p>` : nothing}
      <button slot="actions" @click=${leave}>${this.t("common.cancel")}</button>
      <button slot="actions" class="danger" ?disabled=${this.busy.size > 0} @click=${() => this.forget()}>
        ${this.t("memory.forget")}
      </button>
    </kitty-dialog>`;
  }

  private async forget(): Promise<void> {
    const { doomed } = this;
    if (!doomed) return;
    const which = doomed === "all" ? { all: true } : { memory_id: doomed.id };
    const deed = () => this.call("forget_memory", { ...which, ...this.here });
    const done = await this.doing(doomed === "all" ? "all" : doomed.id, deed, this.t("memory.forgotten"));
    this.doomed = undefined;
    if (done) await this.read();
  }

  private search(event: SubmitEvent): void {
    event.preventDefault();
    const field = (event.target as HTMLFormElement).elements.namedItem("query") as HTMLInputElement;
    this.query = field.value.trim();
    this.found = undefined;
    if (this.query) void this.doing("search", () => this.look());
  }

  /** An emptied field shows all again, at once. */
  private cleared(event: Event): void {
    if ((event.target as HTMLInputElement).value === "") this.query = "";
  }

  private async remember(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const given = new FormData(form);
    const data = { text: String(given.get("text")).trim(), shared: given.has("shared"), ...this.here };
    if (!data.text) return;
    if (await this.doing("remember", () => this.call("remember", data), this.t("memory.remembered"))) {
      form.reset();
      await this.read();
    }
  }

  private async enable(enabled: boolean): Promise<void> {
    const deed = () => this.call("enable_memory", { enabled, ...this.here });
    if (await this.doing("enable", deed, this.t(enabled ? "memory.now_on" : "memory.now_off"))) await this.read();
  }

  private export() {
    return this.doing("export", async () => {
      const told = await this.call<{ name: string; content_type: string; text: string }>("export_memories", {
        ...this.here,
      });
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([told.text], { type: told.content_type }));
      link.download = told.name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    });
  }

  private readMore() {
    const { reads } = this;
    return this.doing("more", async () => {
      const page = await this.call<Page<Memory>>("get_memories", { cursor: this.cursor, ...this.here });
      // The list was read anew meanwhile, perhaps of another brain: this is no part of it.
      if (reads !== this.reads) return;
      this.items = [...(this.items ?? []), ...page.items];
      this.cursor = page.cursor;
    });
  }
}
