/** What was printed: what it looks like, how it ended, what it cost, and what people said of it. */

import { mdiRefresh, mdiStar } from "@mdi/js";
import { css, html, nothing, svg } from "lit";
import { property, state } from "lit/decorators.js";
import type { Listing } from "../../data/fetched";
import { Live } from "../../data/live";
import type { Device } from "../../data/types";
import type { Key } from "../../i18n";
import { define } from "../../ui/define";
import "../../ui/dialog";
import { dateTime, duration, money } from "../../ui/format";
import "../../ui/icon";
import { KittyPage } from "../../ui/page";
import { empty, failed, loading } from "../../ui/states";
import { shared } from "../../ui/styles";
import "./picture";
import { type Costs, deviceName, grams, OPEN_JOB, type PastJob, type Review } from "./rows";

const PAGE = 30;
/** Those of a page, also where only failed prints are wanted. */
const MOST_REVIEWS = 200;
const MILLIONTHS = 1_000_000;
const PART_COLORS = { filament: "var(--primary-color)", energy: "var(--warning-color, #ffa600)", machine: "#8e24aa" };
const OUTCOMES = ["completed", "failed", "aborted"] as const;

interface Told {
  events: { id: string; type: string; picture: string | null; confidence: number; created_at: number }[];
}

/** Fires `review` with a print that somebody wants to judge. */
@define("kitty-print-history")
export class KittyPrintHistory extends KittyPage {
  @property({ attribute: false }) printers: readonly Device[] = [];
  /** Changes when a print has ended or was judged. */
  @property() finished = "";
  private readonly rights = new Live(this, "rights");
  private readonly jobs = this.listed<PastJob>(
    (cursor) => this.read(cursor),
    () => [this.finished, this.printer, this.outcome].join(),
  );
  private reviews: ReadonlyMap<string, Review> = new Map();
  @state() private printer = "";
  @state() private outcome = "";
  @state() private open: PastJob | null = null;
  @state() private costs: Costs | null = null;
  @state() private told: Told | null = null;

  static override styles = [
    shared,
    css`
      .past {
        align-items: center;
        border-block-start: var(--line);
        display: grid;
        gap: 4px 12px;
        grid-template-columns: 64px minmax(0, 1fr) auto auto;
        padding-block: 10px;
      }
      .past > button.plain {
        border-radius: 8px;
        justify-content: flex-start;
        padding: 4px;
        text-align: start;
      }
      .about {
        display: grid;
        justify-items: start;
        min-width: 0;
      }
      .about span {
        overflow-wrap: anywhere;
      }
      kitty-picture {
        width: 64px;
      }
      .stars {
        color: var(--warning-color, #ffa600);
        display: inline-flex;
        --icon-size: 16px;
      }
      .money {
        direction: ltr;
        inline-size: 100%;
      }
      .dot {
        border-radius: 50%;
        display: inline-block;
        height: 10px;
        margin-inline-end: 6px;
        width: 10px;
      }
      .seen {
        display: grid;
        gap: 8px;
        grid-template-columns: repeat(auto-fill, minmax(120px, 1fr));
      }
      .seen kitty-picture,
      .big {
        width: 100%;
      }
      :host([narrow]) .past {
        grid-template-columns: 56px minmax(0, 1fr);
      }
      :host([narrow]) kitty-picture.thumb {
        width: 56px;
      }
      .head {
        margin-block-end: 12px;
      }
      :host([narrow]) .head h2 {
        flex-basis: 100%;
      }
      /* Below each other rather than with their words cut. */
      :host([narrow]) .head select {
        flex: 1 1 200px;
      }
      :host([narrow]) .said {
        grid-column: 2;
        justify-self: start;
      }
    `,
  ];

  private async read(cursor: string | null): Promise<Listing<PastJob>> {
    const asked: Record<string, unknown> = { limit: PAGE, ...(cursor ? { cursor } : {}) };
    Object.assign(asked, this.printer ? { device_id: this.printer } : this.here);
    const [jobs, reviews] = await Promise.all([
      this.call<Listing<PastJob>>("get_jobs", { ...asked, ...(this.outcome ? { status: this.outcome } : {}) }),
      this.call<Listing<Review>>("get_reviews", { ...asked, limit: MOST_REVIEWS }),
    ]);
    this.reviews = new Map([...this.reviews, ...reviews.items.map((one) => [one.job_id, one] as const)]);
    return { items: jobs.items.filter((one) => !OPEN_JOB.has(one.status)), cursor: jobs.cursor };
  }

  override render() {
    return html`<section class="card">
      <div class="row head">
        <h2 class="grow">${this.t("prints.history")}</h2>
        ${this.choices()}
      </div>
      ${this.list()} ${this.details()}
    </section>`;
  }

  private choices() {
    const choose = (name: "printer" | "outcome") => (event: Event) => {
      this[name] = (event.target as HTMLSelectElement).value;
    };
    return html`<select aria-label=${this.t("prints.printer")} @change=${choose("printer")}>
        <option value="">${this.t("prints.all_printers")}</option>
        ${this.printers.map((one) => html`<option value=${one.registry_id}>${deviceName(this.hass, one)}</option>`)}
      </select>
      <select aria-label=${this.t("prints.outcome")} @change=${choose("outcome")}>
        <option value="">${this.t("prints.all_outcomes")}</option>
        ${OUTCOMES.map((one) => html`<option value=${one}>${this.t(`prints.status.${one}`)}</option>`)}
      </select>
      <button class="icon" aria-label=${this.t("prints.look_again")} @click=${this.jobs.again}>
        <kitty-icon .path=${mdiRefresh}></kitty-icon>
      </button>`;
  }

  private list() {
    const { items, failure, cursor, again } = this.jobs;
    if (failure) return failed(this.hass, failure, again);
    if (!items) return this.notYet;
    if (!items.length) return empty(this.t("prints.no_history"));
    const more = () => this.doing("history", () => this.jobs.more());
    return html`${items.map((one) => this.past(one))}
    ${cursor ? html`<div class="row" style="justify-content: center; margin-block-start: 12px"><button ?disabled=${this.busy.has("history")} @click=${more}>${this.t("prints.more")}</button></div>` : nothing}`;
  }

  private past(job: PastJob) {
    const review = this.reviews.get(job.id);
    const cost = job.cost_micro === null ? null : money(this.hass, job.cost_micro / MILLIONTHS);
    const parts = [
      this.printerName(job.device_id),
      job.completed_at ? dateTime(this.hass, job.completed_at) : null,
      job.started_at && job.completed_at ? duration(this.hass, job.completed_at - job.started_at) : null,
      job.used_g === null ? null : grams(this.hass, job.used_g),
      cost,
    ];
    return html`<div class="past" data-job=${job.id}>
      ${job.artifact_id ? html`<kitty-picture class="thumb" .hass=${this.hass} .of=${{ ...this.here, artifact_id: job.artifact_id }} alt=""></kitty-picture>` : html`<span></span>`}
      <button class="plain" @click=${() => this.look_at(job)}>
        <span class="about">
          <span>${job.file}</span>
          <span class="muted" style="font-weight: 400">${parts.filter(Boolean).join(" · ")}</span>
        </span>
      </button>
      <span class="row said">
        <span class="chip ${job.status === "completed" ? "good" : job.status === "failed" ? "bad" : ""}"
          >${this.t(`prints.status.${job.status}` as Key)}</span
        >
        ${review ? this.opinion(review) : nothing}
      </span>
      ${
        review && review.good === null && this.mayControl(job.device_id)
          ? html`<button class="said" aria-label=${this.named(this.t("prints.judge"), job.file)} @click=${() => this.judge(review)}>${this.t("prints.judge")}</button>`
          : html`<span></span>`
      }
    </div>`;
  }

  private opinion(review: Review) {
    if (review.good === null) return nothing;
    return html`${
      review.rating
        ? html`<span class="stars" role="img" aria-label=${this.t("prints.stars", { n: review.rating })}
            >${Array.from({ length: review.rating }, () => html`<kitty-icon .path=${mdiStar}></kitty-icon>`)}</span
          >`
        : nothing
    }<span class="muted">${this.t(review.good ? "prints.good" : "prints.not_good")}</span>`;
  }

  private mayControl(id: string): boolean {
    return this.printers.some((one) => one.id === id && one.may_control);
  }

  private judge(review: Review): void {
    this.open = null;
    this.dispatchEvent(new CustomEvent("review", { detail: review }));
  }

  private printerName(id: string): string {
    return (
      deviceName(
        this.hass,
        this.printers.find((one) => one.id === id),
      ) ?? this.t("prints.printer_gone")
    );
  }

  private async look_at(job: PastJob): Promise<void> {
    this.open = job;
    this.costs = null;
    this.told = null;
    const asked = { ...this.here, job_id: job.id };
    await this.doing(`details ${job.id}`, async () => {
      const told = await this.call<Told>("get_job", asked);
      if (this.open?.id !== job.id) return;
      this.told = told;
      const costs = await this.call<Costs>("get_costs", asked);
      if (this.open?.id === job.id) this.costs = costs;
    });
  }

  private details() {
    const job = this.open;
    const close = () => {
      this.open = null;
    };
    return html`<kitty-dialog .open=${job !== null} heading=${job?.file ?? ""} @close=${close}>
      ${job ? this.about(job) : nothing}
      <button slot="actions" @click=${close}>${this.t("common.close")}</button>
      ${
        job?.artifact_id && this.rights.whole?.may_print_anywhere
          ? html`<button slot="actions" class="primary" ?disabled=${this.busy.has("again")} @click=${() => this.again(job)}>${this.t("prints.again")}</button>`
          : nothing
      }
    </kitty-dialog>`;
  }

  private about(job: PastJob) {
    const review = this.reviews.get(job.id);
    const facts: [Key, string | null][] = [
      ["prints.outcome", this.t(`prints.status.${job.status}` as Key)],
      ["prints.printer", this.printerName(job.device_id)],
      ["prints.began", job.started_at ? dateTime(this.hass, job.started_at) : null],
      ["prints.ended", job.completed_at ? dateTime(this.hass, job.completed_at) : null],
      ["prints.error", job.error],
      [
        "prints.what_wrong",
        review?.reasons.length ? review.reasons.map((one) => this.t(`prints.wrong.${one}` as Key)).join(", ") : null,
      ],
      ["prints.note", review?.note ?? null],
    ];
    const seen = (this.told?.events ?? []).filter((one) => one.picture);
    return html`${
      review?.has_picture
        ? html`<kitty-picture class="big" .hass=${this.hass} .of=${{ ...this.here, job_id: job.id }} alt=${this.t("prints.photo")}></kitty-picture>`
        : job.artifact_id
          ? html`<kitty-picture class="big" .hass=${this.hass} .of=${{ ...this.here, artifact_id: job.artifact_id, kind: "preview" }} alt=${this.t("prints.looks", { title: job.file })}></kitty-picture>`
          : nothing
    }
      <dl>${facts.map(([name, value]) => (value ? html`<dt>${this.t(name)}</dt><dd>${value}</dd>` : nothing))}</dl>
      ${this.costs ? this.spent(this.costs) : this.busy.has(`details ${job?.id}`) ? loading(this.hass) : nothing}
      ${
        seen.length
          ? html`<div class="seen">
              ${seen.map((one) => html`<kitty-picture .hass=${this.hass} .of=${{ ...this.here, print_event_id: one.id }} alt=${`${this.t(`prints.event.${one.type}` as Key)} · ${dateTime(this.hass, one.created_at)}`}></kitty-picture>`)}
            </div>`
          : nothing
      }`;
  }

  /** What it cost, as one bar of its parts. */
  private spent(costs: Costs) {
    const known = costs.parts.filter((part) => part.cost !== null && part.cost > 0);
    const sum = known.reduce((all, part) => all + (part.cost ?? 0), 0);
    if (!sum || costs.total === null) return html`<p class="muted">${this.t("prints.cost_unknown")}</p>`;
    let at = 0;
    const bars = known.map((part) => {
      const width = (300 * (part.cost ?? 0)) / sum;
      const bar = svg`<rect x=${at} y="0" width=${Math.max(0, width - 1)} height="14" fill=${PART_COLORS[part.what]}></rect>`;
      at += width;
      return bar;
    });
    return html`<div class="stack" style="gap: 8px">
      <h3>${this.t("prints.cost", { sum: money(this.hass, costs.total, costs.currency) })}</h3>
      <svg class="money" viewBox="0 0 300 14" preserveAspectRatio="none" aria-hidden="true">${bars}</svg>
      <div class="row">
        ${known.map(
          (part) => html`<span
            ><span class="dot" style="background: ${PART_COLORS[part.what]}"></span>${this.named(
              this.t(`prints.part.${part.what}`),
              `${part.estimated ? "≈ " : ""}${money(this.hass, part.cost ?? 0, costs.currency)}`,
            )}</span
          >`,
        )}
      </div>
      ${costs.unknown.length ? html`<p class="muted">${this.t("prints.unknown", { what: costs.unknown.map((one) => this.t(`prints.part.${one}` as Key)).join(", ") })}</p>` : nothing}
    </div>`;
  }

  private async again(job: PastJob): Promise<void> {
    const asked = { ...this.here, artifact_id: job.artifact_id };
    if (await this.doing("again", () => this.call("queue_print", asked), this.t("prints.added", { title: job.file })))
      this.open = null;
  }
}
