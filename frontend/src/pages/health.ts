/** Health: each part, how fast it answers, what was given up, what comes again, and which providers rest. */

import { mdiCheckCircle, mdiMinusCircleOutline, mdiPlay, mdiRefresh } from "@mdi/js";
import { css, html, nothing } from "lit";
import { repeat } from "lit/directives/repeat.js";
import { Live } from "../data/live";
import type { Answering } from "../data/types";
import { jobName, loadWords, plain } from "../data/words";
import type { Key } from "../i18n";
import { hasSay, isModel } from "../mind/logic";
import { define } from "../ui/define";
import { dateTime, duration, milliseconds, relative, time, weekday } from "../ui/format";
import "../ui/icon";
import { KittyPage } from "../ui/page";
import "../ui/plot";
import { empty, failed } from "../ui/states";
import { shared } from "../ui/styles";
import { type CommandTimes, columns, dense, slowest, type Times, timing } from "./health/times";

interface Health {
  status: "ok" | "degraded";
  parts: Record<string, { ok: boolean; detail: string | null }>;
}

interface Job {
  name: string;
  timing: string;
  enabled: boolean;
  next_at: number | null;
  last_at: number | null;
  overdue: boolean;
  last: { status: string; started_at: number | null; finished_at: number | null; error: WorkError } | null;
}

type WorkError = { code: string; message: string } | null;

interface Work {
  id: string;
  kind: string;
  status: string;
  tries: number;
  error: WorkError;
  requested_by: string | null;
  created_at: number;
  finished_at: number | null;
}

interface Provider extends Answering {
  id: string;
  name: string;
  trouble: { code: string; message: string } | null;
  breaker: {
    state: "closed" | "open" | "half_open";
    failures: number;
    last_error: string | null;
    retry_after: number | null;
  };
}

const RUN_LOOK: Record<string, string> = { completed: "good", dead: "bad", running: "info" };
const BREAKER_LOOK = { closed: "good", half_open: "warn", open: "bad" } as const;
/** Parts whose names are in our words; another goes by the brain's own word. */
const PARTS = new Set([
  "awake",
  "brain_database",
  "home_assistant",
  "memory",
  "models",
  "safety_database",
  "schedule",
  "supervisor",
  "tasks",
]);

@define("kitty-page-health")
export class KittyPageHealth extends KittyPage {
  private readonly health = new Live<"health", Health>(this, "health");
  private readonly jobs = new Live<"schedule", Job>(this, "schedule");
  private readonly work = new Live<"work", Work>(this, "work");
  private readonly providers = new Live<"providers", Provider>(this, "providers");
  private readonly answering = new Live(this, "answering");
  private readonly rights = new Live(this, "rights");
  private readonly times = this.fetched(() => this.call<Times>("get_times", { ...this.here }));

  static override styles = [
    shared,
    css`
      .parts {
        display: grid;
        gap: 8px;
        grid-template-columns: repeat(auto-fill, minmax(min(100%, 240px), 1fr));
        list-style: none;
        margin: 0;
        padding: 0;
      }
      .parts li {
        align-items: start;
        display: flex;
        gap: 12px;
      }
      .well {
        color: var(--success-color, #43a047);
      }
      .ill {
        color: var(--error-color, #db4437);
      }
      .off {
        color: var(--secondary-text-color);
      }
      .two {
        display: grid;
        gap: var(--space);
        grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr));
      }
      .jobs {
        list-style: none;
        margin: 0;
        padding: 0;
      }
      .jobs li {
        align-items: center;
        border-block-end: var(--line);
        display: grid;
        gap: 8px 16px;
        grid-template-columns: 2fr 1fr 1fr auto;
        padding-block: 12px;
      }
      .jobs li:last-child {
        border: none;
      }
      :host([narrow]) .jobs li {
        grid-template-columns: 1fr 1fr;
      }
      :host([narrow]) .jobs li > :first-child,
      :host([narrow]) .jobs li > :last-child {
        grid-column: 1 / -1;
      }
      :host([narrow]) .jobs .end {
        justify-content: start;
      }
      td.number,
      th.number {
        white-space: nowrap;
      }
      :host([narrow]) td,
      :host([narrow]) th {
        padding-inline: 4px;
      }
      :host([narrow]) td:first-child {
        overflow-wrap: anywhere;
      }
      /* How often says least, where there is no room for all. */
      :host([narrow]) .often {
        display: none;
      }
    `,
  ];

  override connectedCallback(): void {
    super.connectedCallback();
    void loadWords(this.hass).then(() => this.requestUpdate());
  }

  override render() {
    const { failure, loaded, whole } = this.health;
    if (failure && !loaded) return failed(this.hass, failure);
    if (!whole) return this.notYet;
    const dead = this.work.all.filter((one) => one.status === "dead");
    return html`<div class="stack">
      ${this.verdict(whole)}
      ${this.times.value || !this.isAway() ? html`<div class="two">${this.plot()} ${this.commands()}</div>` : nothing}
      ${this.given(dead)} ${this.schedule()} ${this.breakers()}
    </div>`;
  }

  private verdict(whole: Health) {
    const parts = Object.entries(whole.parts);
    const ill = parts.filter(([, part]) => !part.ok).length;
    // What was well when the brain was last heard may be so no more.
    if (this.isAway()) return html`<section class="card">${this.notYet}</section>`;
    const said = whole.status === "ok" ? this.t("health.well") : this.t("health.ill", { n: ill });
    return html`<section class="card stack">
      <div class="row">
        <h2 class="grow">${said}</h2>
        <span class="sr" role="status">${said}</span>
        ${
          this.hass.user?.is_admin
            ? html`<a class="button" href="/config/repairs">${this.t("health.repairs")}</a>
                <button ?disabled=${this.busy.has("measure")} @click=${() => this.measure()}>
                  <kitty-icon .path=${mdiRefresh}></kitty-icon>${this.t("health.check_now")}
                </button>`
            : nothing
        }
      </div>
      <ul class="parts">
        ${parts
          .sort(([, one], [, other]) => Number(one.ok) - Number(other.ok))
          .map(([name, part]) => this.partOf(name, part))}
      </ul>
    </section>`;
  }

  /** Whether no model is set up. */
  private get modelless(): boolean {
    return this.answering.loaded && !this.answering.all.some(isModel);
  }

  private partOf(name: string, part: { ok: boolean; detail: string | null }) {
    const off = part.ok && part.detail === "off";
    // What is not there is not ill: the brain calls it well.
    const none = name === "models" && part.ok && !part.detail && this.modelless;
    const well = this.t(none ? "health.none_set_up" : "health.part_well");
    const words = off ? this.t("health.off") : (part.detail ?? well);
    const idle = off || none;
    return html`<li>
      <kitty-icon
        class=${idle ? "off" : part.ok ? "well" : "ill"}
        .path=${part.ok && !idle ? mdiCheckCircle : mdiMinusCircleOutline}
      ></kitty-icon>
      <div>
        <h3>${PARTS.has(name) ? this.t(`health.part.${name}` as Key) : plain(name)}</h3>
        <p class="muted">${words}</p>
      </div>
    </li>`;
  }

  private plot() {
    const { value, failure, again } = this.times;
    if (failure) return failed(this.hass, failure, again);
    if (!value) return this.notYet;
    const seconds = dense(value.checks.at);
    const label = (at: number) => time(this.hass, at, seconds);
    const series = slowest(columns(value.checks, label)).map((one) => ({
      ...one,
      name: PARTS.has(one.name) ? this.t(`health.part.${one.name}` as Key) : plain(one.name),
    }));
    return html`<section class="card stack">
      <h2>${this.t("health.checks")}</h2>
      <p class="muted">${this.t("health.checks_about")}</p>
      <kitty-plot
        label=${this.t("health.checks")}
        .series=${series}
        .format=${(value: number) => milliseconds(this.hass, value)}
      ></kitty-plot>
    </section>`;
  }

  private commands() {
    const { value } = this.times;
    if (!value) return nothing;
    const slow = [...value.commands].sort((one, other) => other.p99_ms - one.p99_ms || other.count - one.count);
    return html`<section class="card stack">
      <h2>${this.t("health.commands")}</h2>
      <p class="muted">${this.t("health.commands_about")}</p>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">${this.t("health.command")}</th>
              <th scope="col" class="number often">${this.t("health.times")}</th>
              <th scope="col" class="number">${this.t("health.half")}</th>
              <th scope="col" class="number">${this.t("health.nearly_all")}</th>
            </tr>
          </thead>
          <tbody>
            ${slow.slice(0, 8).map(
              (one: CommandTimes) => html`<tr>
                <td>${one.action}</td>
                <td class="number often">${one.count}</td>
                <td class="number">≤ ${milliseconds(this.hass, one.p50_ms)}</td>
                <td class="number">≤ ${milliseconds(this.hass, one.p99_ms)}</td>
              </tr>`,
            )}
          </tbody>
        </table>
      </div>
    </section>`;
  }

  private mayRetry(one: Work): boolean {
    return hasSay(one.requested_by, this.hass.user?.id, this.rights.whole);
  }

  private given(dead: Work[]) {
    return html`<section class="card stack">
      <div class="row">
        <h2 class="grow">${this.t("health.dead")}</h2>
        ${
          dead.filter((one) => this.mayRetry(one)).length > 1
            ? html`<button ?disabled=${this.busy.has("all")} @click=${() => this.retry("all")}>${this.t("health.retry_all")}</button>`
            : nothing
        }
      </div>
      ${
        dead.length === 0
          ? html`<p class="muted">${this.t("health.none_dead")}</p>`
          : repeat(
              dead,
              (one) => one.id,
              (one) => html`<div class="row" data-work=${one.id}>
                <div class="grow">
                  <h3>${jobName(this.hass, one.kind)}</h3>
                  <p>${one.error?.message}</p>
                  <p class="muted">
                    ${this.t("health.tries", { n: one.tries })} · ${relative(this.hass, one.finished_at ?? one.created_at)}
                  </p>
                </div>
                ${
                  this.mayRetry(one)
                    ? html`<button ?disabled=${this.busy.has(one.id)} @click=${() => this.retry(one.id)}>${this.t("common.try_again")}</button>`
                    : nothing
                }
              </div>`,
            )
      }
    </section>`;
  }

  private schedule() {
    const jobs = this.jobs.all.sort((one, other) => (one.next_at ?? Infinity) - (other.next_at ?? Infinity));
    if (jobs.length === 0) return nothing;
    return html`<section class="card stack">
      <h2>${this.t("health.jobs")}</h2>
      <ul class="jobs">
        ${repeat(
          jobs,
          (one) => one.name,
          (one) => html`<li data-job=${one.name}>
            <div>
              <h3>${jobName(this.hass, one.name)}</h3>
              <span class="muted">${this.timing(one.timing)}</span>
            </div>
            <div><span class="muted">${this.t("health.last")}</span> ${this.last(one)}</div>
            <div><span class="muted">${this.t("health.next")}</span> ${this.next(one)}</div>
            <div class="row end">${this.deeds(one)}</div>
          </li>`,
        )}
      </ul>
    </section>`;
  }

  /** When a job comes again, in this language; what is none of the usual ones as it was set. */
  private timing(text: string): string {
    const known = timing(text);
    if (!known) return text;
    if (known.every !== null) return this.t("health.every", { time: duration(this.hass, known.every) });
    const time = [known.at, known.zone].filter(Boolean).join(" ");
    if (!known.days.length) return this.t("health.daily", { time });
    return this.t("health.weekly", { days: known.days.map((day) => weekday(this.hass, day)).join(", "), time });
  }

  private deeds(job: Job) {
    const busy = this.busy.has(job.name);
    const what = jobName(this.hass, job.name);
    const turned = job.enabled ? "health.stop" : "health.start";
    return html`<button aria-label=${this.t("health.run", { what })} ?disabled=${busy} @click=${() => this.run(job)}>
        <kitty-icon .path=${mdiPlay}></kitty-icon>${this.t("health.run_now")}
      </button>
      ${
        this.hass.user?.is_admin
          ? html`<button aria-label=${this.named(this.t(turned), what)} ?disabled=${busy} @click=${() => this.turn(job)}>
              ${this.t(turned)}
            </button>`
          : nothing
      }`;
  }

  private last(job: Job) {
    const { last } = job;
    if (!last) return html`<div>${this.t("health.never")}</div>`;
    const at = last.finished_at ?? last.started_at ?? job.last_at;
    return html`<div><span class="chip ${RUN_LOOK[last.status] ?? ""}">${this.t(this.statusKey(last.status))}</span></div>
      ${at ? html`<div title=${dateTime(this.hass, at, true)}>${relative(this.hass, at)}</div>` : nothing}
      ${last.error ? html`<div>${last.error.message}</div>` : nothing}`;
  }

  private statusKey(status: string): Key {
    const known = ["pending", "running", "completed", "dead", "cancelled"];
    return (known.includes(status) ? `health.status.${status}` : "health.status.pending") as Key;
  }

  private next(job: Job) {
    if (!job.enabled) return html`<div><span class="chip">${this.t("health.off")}</span></div>`;
    if (job.overdue) return html`<div><span class="chip warn">${this.t("health.overdue")}</span></div>`;
    if (!job.next_at) return nothing;
    return html`<div title=${dateTime(this.hass, job.next_at)}>${relative(this.hass, job.next_at)}</div>`;
  }

  private breakers() {
    if (!this.hass.user?.is_admin) return nothing;
    const rows = this.providers.all;
    return html`<section class="card stack">
      <h2>${this.t("health.providers")}</h2>
      <p class="muted">${this.t("health.providers_about")}</p>
      ${
        rows.length === 0
          ? empty(this.t("health.no_providers"))
          : html`<ul class="parts">
              ${rows.map(
                (one) => html`<li data-provider=${one.id}>
                  <div class="grow">
                    <h3>${one.name}</h3>
                    <span class="chip ${BREAKER_LOOK[one.breaker.state]}">${this.t(`health.breaker.${one.breaker.state}`)}</span>
                    ${one.enabled ? nothing : html`<span class="chip">${this.t("health.off")}</span>`}
                    ${
                      one.breaker.failures
                        ? html`<p class="muted">${this.t("health.failures", { n: one.breaker.failures })}</p>`
                        : nothing
                    }
                    ${one.breaker.last_error ? html`<p>${one.breaker.last_error}</p>` : nothing}
                  </div>
                </li>`,
              )}
            </ul>`
      }
    </section>`;
  }

  private measure(): Promise<boolean> {
    const deed = async () => {
      await this.call("diagnose", { ...this.here });
      await this.times.again();
    };
    return this.doing("measure", deed, this.t("health.checked"));
  }

  private retry(id: string): Promise<boolean> {
    const which = id === "all" ? {} : { work_id: id };
    return this.doing(id, () => this.call("retry_dead_letter", { ...this.here, ...which }), this.t("health.retried"));
  }

  private run(job: Job): Promise<boolean> {
    const done = this.t("health.runs", { what: jobName(this.hass, job.name) });
    return this.doing(job.name, () => this.call("run_job", { ...this.here, name: job.name }), done);
  }

  private turn(job: Job): Promise<boolean> {
    return this.doing(job.name, () => this.call("change_job", { ...this.here, name: job.name, enabled: !job.enabled }));
  }
}
