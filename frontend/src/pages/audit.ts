/** Audit: who did what, when; searched, verified, and taken away as a file. */

import { mdiDownload, mdiShieldCheckOutline } from "@mdi/js";
import { css, html, nothing, type PropertyValues, svg } from "lit";
import { state } from "lit/decorators.js";
import type { Listing } from "../data/fetched";
import { people, personName } from "../data/hass";
import { Live } from "../data/live";
import { loadWords } from "../data/words";
import { define } from "../ui/define";
import "../ui/dialog";
import { dateTime, number } from "../ui/format";
import "../ui/icon";
import { KittyPage } from "../ui/page";
import { say } from "../ui/say";
import { empty, failed } from "../ui/states";
import { shared } from "../ui/styles";
import "../ui/virtual";
import { type AuditRow, asCsv, asked, type Filter, NO_FILTER } from "./audit/rows";
import { besides, KINDS, kindName } from "./audit/words";

const PAGE = 200;
const EXPORT_PAGE = 1000;

interface Verdict {
  ok: boolean;
  rows: number;
  head: { seq: number; hash: string };
  problem: string | null;
}

@define("kitty-page-audit")
export class KittyPageAudit extends KittyPage {
  private readonly head = new Live<"audit", { seq: number; hash: string; at: number }>(this, "audit");
  private readonly devices = new Live(this, "devices");
  @state() private filter: Filter = NO_FILTER;
  @state() private verdict: Verdict | undefined;
  @state() private opened: AuditRow | undefined;
  /** The newest row there was when the list was fetched. */
  private newest = 0;
  private readonly list = this.listed<AuditRow>(
    async (cursor) => {
      const newest = this.head.whole?.seq ?? 0;
      const told = await this.page(cursor, PAGE);
      if (!cursor) this.newest = Math.max(newest, told.items[0]?.seq ?? 0);
      return told;
    },
    () => JSON.stringify(this.filter),
  );

  static override styles = [
    shared,
    css`
      form {
        display: flex;
        flex-wrap: wrap;
        gap: 12px;
      }
      form label {
        flex: 1 1 145px;
      }
      /* A browser draws a date and a time no narrower than this. */
      form label.when {
        flex-basis: 205px;
      }
      .span {
        display: flex;
        flex: 1 1 422px;
        flex-wrap: wrap;
        gap: 12px;
      }
      summary {
        cursor: pointer;
        font-weight: 500;
        margin-block-end: 8px;
      }
      form input,
      form select {
        inline-size: 100%;
      }
      kitty-virtual {
        block-size: max(320px, calc(100dvh - 420px));
      }
      .line {
        align-items: center;
        background: none;
        block-size: 56px;
        border: none;
        border-block-end: var(--line);
        border-radius: 0;
        display: grid;
        font-weight: 400;
        gap: 0 12px;
        grid-template-columns: 170px 210px 120px minmax(0, 1fr);
        inline-size: 100%;
        justify-items: start;
        padding: 0 8px;
        text-align: start;
      }
      .line:focus-visible {
        outline-offset: -2px;
      }
      .line > span {
        max-inline-size: 100%;
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      :host([narrow]) .line {
        grid-template-columns: minmax(0, 1fr) auto auto;
      }
      :host([narrow]) .line .when {
        grid-column: 2 / -1;
        grid-row: 1;
      }
      :host([narrow]) .line .what {
        grid-column: 1;
        grid-row: 1;
      }
      :host([narrow]) .line .more {
        grid-column: 1 / 3;
        grid-row: 2;
      }
      :host([narrow]) .line .who {
        grid-column: 3;
        grid-row: 2;
        justify-self: end;
      }
      pre {
        margin: 0;
        overflow-wrap: anywhere;
        white-space: pre-wrap;
      }
      .chain {
        block-size: 40px;
        flex: none;
        inline-size: 148px;
      }
      .chain rect {
        fill: none;
        stroke-width: 4;
      }
      .chain.good {
        stroke: var(--success-color, #43a047);
      }
      .chain.bad {
        stroke: var(--error-color, #db4437);
      }
    `,
  ];

  override connectedCallback(): void {
    super.connectedCallback();
    void loadWords(this.hass).then(() => this.requestUpdate());
  }

  override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("entryId")) this.verdict = undefined;
  }

  override render() {
    return html`<div class="stack">
      <section class="card stack">
        ${this.search()}
        <div class="row">
          <button ?disabled=${this.busy.has("verify")} @click=${() => this.verify()}>
            <kitty-icon .path=${mdiShieldCheckOutline}></kitty-icon>${this.t(this.busy.has("verify") ? "audit.verifying" : "audit.verify")}
          </button>
          <button ?disabled=${this.busy.has("csv")} @click=${() => this.save("csv")}>
            <kitty-icon .path=${mdiDownload}></kitty-icon>${this.t("audit.csv")}
          </button>
          <button ?disabled=${this.busy.has("json")} @click=${() => this.save("json")}>
            <kitty-icon .path=${mdiDownload}></kitty-icon>${this.t("audit.json")}
          </button>
        </div>
        ${this.verdict ? this.drawn(this.verdict) : nothing}
      </section>
      ${this.news()} ${this.found()} ${this.details()}
    </div>`;
  }

  private search() {
    const devices = this.devices.all
      .filter((one) => one.registry_id)
      .sort((one, other) => one.name.localeCompare(other.name));
    const kinds = [...new Set([...KINDS, ...(this.list.items ?? []).map((row) => row.kind)])];
    const named = kinds
      .map((kind) => ({ kind, name: kindName(this.hass, kind) }))
      .sort((one, other) => one.name.localeCompare(other.name));
    const take = (name: keyof Filter) => (event: Event) => {
      this.filter = { ...this.filter, [name]: (event.target as HTMLInputElement).value };
    };
    return html`<details ?open=${!this.narrow}>
      <summary>${this.t("audit.search")}</summary>
      <form @submit=${(event: Event) => event.preventDefault()}>
      <label class="field">${this.t("audit.kind")}
        <select @change=${take("kind")}>
          <option value="">${this.t("audit.anything")}</option>
          ${named.map((one) => html`<option value=${one.kind}>${one.name}</option>`)}
        </select>
      </label>
      <label class="field">${this.t("audit.person")}
        <select @change=${take("person")}>
          <option value="">${this.t("audit.anybody")}</option>
          ${people(this.hass).map((one) => html`<option value=${one.entity_id}>${one.attributes.friendly_name ?? one.entity_id}</option>`)}
        </select>
      </label>
      <label class="field">${this.t("audit.device")}
        <select @change=${take("device")}>
          <option value="">${this.t("audit.any_device")}</option>
          ${devices.map((one) => html`<option value=${one.registry_id}>${one.name}</option>`)}
        </select>
      </label>
      <div class="span">
        <label class="field when">${this.t("audit.since")}
          <input type="datetime-local" .value=${this.filter.since} @change=${take("since")} />
        </label>
        <label class="field when">${this.t("audit.until")}
          <input type="datetime-local" .value=${this.filter.until} @change=${take("until")} />
        </label>
      </div>
    </form>
    </details>`;
  }

  /** The chain with its result: whole, or torn. */
  private drawn(verdict: Verdict) {
    const torn = verdict.ok ? 0 : 12;
    const link = (x: number) => svg`<rect x=${x} y="12" width="36" height="16" rx="8"></rect>`;
    return html`<div class="row" role="status">
      <svg class="chain ${verdict.ok ? "good" : "bad"}" viewBox="0 0 148 40" aria-hidden="true">
        ${link(4)} ${link(30)} ${link(56 + torn)} ${link(82 + torn)}
      </svg>
      <div class="grow">
        <h3>${verdict.ok ? this.t("audit.whole", { n: verdict.rows }) : this.t("audit.torn")}</h3>
        <p class="muted">${verdict.problem ?? this.t("audit.head", { hash: verdict.head.hash.slice(0, 16) })}</p>
      </div>
    </div>`;
  }

  /** What came since: shown when somebody wants it, so that the list does not move under their eyes. */
  private news() {
    const n = (this.head.whole?.seq ?? 0) - this.newest;
    if (!this.list.items || this.newest === 0 || n <= 0) return nothing;
    return html`<div class="row" role="status">
      <button @click=${this.list.again}>${this.t("audit.news", { n })}</button>
    </div>`;
  }

  private found() {
    const { items, failure, again } = this.list;
    if (failure) return failed(this.hass, failure, again);
    if (!items) return this.notYet;
    if (items.length === 0) return empty(this.t("audit.none"));
    return html`<section class="card">
      <kitty-virtual
        label=${this.t("audit.title")}
        .items=${items}
        .rowHeight=${56}
        .keyOf=${(row: AuditRow) => row.seq}
        .draw=${this.line}
        @end=${() => this.doing("more", () => this.list.more())}
      ></kitty-virtual>
    </section>`;
  }

  private readonly line = (row: AuditRow) => html`<button
    class="line"
    @click=${() => {
      this.opened = row;
    }}
  >
    <span class="when muted">${dateTime(this.hass, row.at, !this.narrow)}</span>
    <span class="what">${kindName(this.hass, row.kind)}</span>
    <span class="who">${this.person(row)}</span>
    <span class="more muted">${besides(this.hass, row, this.device(row))}</span>
  </button>`;

  private person(row: AuditRow): string {
    if (!row.user_id) return "";
    return personName(this.hass, row.user_id) ?? this.t("common.somebody");
  }

  private device(row: AuditRow): string {
    return this.devices.get(row.device_id)?.name ?? "";
  }

  private details() {
    const row = this.opened;
    const told = row && besides(this.hass, row, this.device(row));
    const close = () => {
      this.opened = undefined;
    };
    return html`<kitty-dialog .open=${row !== undefined} heading=${row ? kindName(this.hass, row.kind) : ""} @close=${close}>
      ${
        row
          ? html`${told ? html`<p>${told}</p>` : nothing}
            <dl>
              <dt>${this.t("audit.at")}</dt>
              <dd>${dateTime(this.hass, row.at, true)}</dd>
              <dt>${this.t("audit.person")}</dt>
              <dd>${this.person(row) || this.t("common.nobody")}</dd>
              <dt>${this.t("audit.device")}</dt>
              <dd>${this.device(row) || row.device_id || "–"}</dd>
              <dt>${this.t("audit.row")}</dt>
              <dd>${number(this.hass, row.seq)}</dd>
              <dt>${this.t("audit.hash")}</dt>
              <dd>${row.hash}</dd>
              <dt>${this.t("audit.data")}</dt>
              <dd><pre>${JSON.stringify(row.data, null, 2)}</pre></dd>
            </dl>`
          : nothing
      }
      <button slot="actions" @click=${close}>${this.t("common.close")}</button>
    </kitty-dialog>`;
  }

  private page(cursor: string | null, limit: number): Promise<Listing<AuditRow>> {
    return this.call<Listing<AuditRow>>("get_audit", {
      ...this.here,
      ...asked(this.filter),
      newest_first: true,
      limit,
      ...(cursor ? { cursor } : {}),
    });
  }

  private verify(): Promise<boolean> {
    const { entryId } = this;
    return this.doing("verify", async () => {
      const verdict = await this.call<Verdict>("verify_audit", { ...this.here });
      // Of another brain than the one that is looked at by now it says nothing.
      if (entryId === this.entryId) this.verdict = verdict;
    });
  }

  private save(format: "csv" | "json"): Promise<boolean> {
    return this.doing(format, async () => {
      const rows: AuditRow[] = [];
      let cursor: string | null = null;
      do {
        const told: Listing<AuditRow> = await this.page(cursor, EXPORT_PAGE);
        rows.push(...told.items);
        cursor = told.cursor;
      } while (cursor);
      const text = format === "csv" ? asCsv(rows) : JSON.stringify(rows, null, 2);
      download(`kitty-audit.${format}`, format === "csv" ? "text/csv" : "application/json", text);
      say(this.t("audit.saved", { n: rows.length }));
    });
  }
}

function download(name: string, type: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
