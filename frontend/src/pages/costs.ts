/** Costs: what models cost by day, tier and model, what may be spent, who answered, how fast, and what the cache saved. */

import { css, html, nothing } from "lit";
import { state } from "lit/decorators.js";
import { Live } from "../data/live";
import { days, type Stack, stacked, summed } from "../mind/figures";
import type { Budget, Decisions, Mind, Period, Spending, Spent } from "../mind/types";
import { loadChoices, tierName } from "../mind/words";
import { define } from "../ui/define";
import "../ui/dialog";
import { milliseconds, money, number, percent } from "../ui/format";
import { KittyPage } from "../ui/page";
import "../ui/plot";
import type { Series } from "../ui/plot";
import { failed } from "../ui/states";
import { shared } from "../ui/styles";

const PERIODS = [7, 30, 90, 365];
const SOON_MS = 500;
/** A cap that is so much higher than what was spent would press the plot flat. */
const IN_SIGHT = 4;
const MEGABYTE = 1024 * 1024;

interface Provider {
  id: string;
  name: string;
}

@define("kitty-page-costs")
export class KittyPageCosts extends KittyPage {
  private readonly budget = new Live<"budget", Budget>(this, "budget");
  private readonly mind = new Live<"mind", Mind>(this, "mind");
  private readonly providers = new Live<"providers", Provider>(this, "providers");
  @state() private period = 30;
  @state() private changing = false;
  private seen: unknown;
  private answered = 0;
  private readonly sums = this.fetched(
    async () => {
      const asked = { days: this.period, ...this.here };
      const [spending, decisions] = await Promise.all([
        this.call<Spending>("get_spending", asked),
        this.call<Decisions>("get_decisions", asked),
      ]);
      return { spending, decisions };
    },
    () => String(this.answered),
    SOON_MS,
  );

  static override styles = [
    shared,
    css`
      .two {
        display: grid;
        gap: var(--space);
        grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr));
      }
      .two > .card {
        display: grid;
        gap: 12px;
        align-content: start;
      }
      .meter {
        background: color-mix(in srgb, var(--primary-text-color) 10%, transparent);
        block-size: 14px;
        border-radius: 7px;
        overflow: hidden;
        position: relative;
      }
      .meter > .full {
        background: var(--success-color, #43a047);
        block-size: 100%;
      }
      .meter > .full.soft {
        background: var(--warning-color, #ffa600);
      }
      .meter > .full.hard {
        background: var(--error-color, #db4437);
      }
      .meter > .mark {
        background: var(--primary-text-color);
        inline-size: 2px;
        inset-block: 0;
        position: absolute;
      }
      .period {
        display: grid;
        gap: 4px;
      }
      .big {
        font-size: 24px;
        line-height: 1.2;
      }
      form {
        display: grid;
        gap: 12px;
        grid-template-columns: minmax(0, 1fr);
      }
      td.share {
        min-width: 80px;
        width: 30%;
      }
      /* What the figures beside it say already. */
      :host([narrow]) td.share,
      :host([narrow]) th.share {
        display: none;
      }
      .share > div {
        background: var(--primary-color);
        block-size: 10px;
        border-radius: 5px;
      }
    `,
  ];

  override connectedCallback(): void {
    super.connectedCallback();
    void this.updateComplete.then(() => loadChoices(this.hass)).then(() => this.requestUpdate());
  }

  override willUpdate(): void {
    // Each answer changes the sums.
    if (this.mind.whole === this.seen) return;
    this.seen = this.mind.whole;
    this.answered += 1;
  }

  override render() {
    const { budget, sums } = this;
    if (!budget.loaded || !sums.value) {
      const failure = sums.failure ?? budget.failure;
      return failure ? failed(this.hass, failure, sums.again) : this.notYet;
    }
    const { spending, decisions } = sums.value;
    const all = days(spending.since, spending.today);
    return html`<div class="stack">
      ${budget.whole?.day ? this.caps(budget.whole) : nothing}
      <div class="row">
        <label class="field">
          ${this.t("costs.period")}
          <select @change=${this.choose}>
            ${PERIODS.map(
              (one) =>
                html`<option value=${one} ?selected=${one === this.period}>${this.t("costs.last_days", { n: one })}</option>`,
            )}
          </select>
        </label>
      </div>
      <div class="two">
        ${this.byDay(spending, all)} ${this.answers(decisions, all)} ${this.byModel(spending)} ${this.speeds(decisions)}
        ${this.cache(decisions)}
      </div>
      ${budget.whole?.day ? this.limits(budget.whole) : nothing}
    </div>`;
  }

  private choose(event: Event): void {
    this.period = Number((event.target as HTMLSelectElement).value);
    void this.sums.again();
  }

  // -- the budget ----------------------------------------------------------------------------------------

  private caps(budget: Budget) {
    const kinds = { normal: "good", soft: "warn", local_only: "bad" };
    return html`<section class="card stack">
      <div class="row">
        <h2 class="grow">${this.t("costs.budget")}</h2>
        <span class="chip ${kinds[budget.step]}">${this.t(`costs.step_${budget.step}`)}</span>
        ${
          this.hass.user?.is_admin
            ? html`<button
                @click=${() => {
                  this.changing = true;
                }}
              >${this.t("costs.change")}</button>`
            : nothing
        }
      </div>
      <div class="two">
        ${this.meter(this.t("costs.today"), budget.day, budget)} ${this.meter(this.t("costs.this_month"), budget.month, budget)}
      </div>
      <p class="muted">${this.t("costs.about_steps", { soft: percent(this.hass, budget.soft) })}</p>
    </section>`;
  }

  private meter(label: string, period: Period, budget: Budget) {
    const share = period.cap > 0 ? Math.min(1, period.spent / period.cap) : 1;
    const step = share >= 1 ? "hard" : share >= budget.soft ? "soft" : "";
    const words = this.t("costs.of", {
      spent: money(this.hass, period.spent, budget.currency),
      cap: money(this.hass, period.cap, budget.currency),
    });
    return html`<div class="period">
      <span>${label}</span>
      <span class="big">${money(this.hass, period.spent, budget.currency)}</span>
      <div class="meter" role="img" aria-label=${this.named(label, words)}>
        <div class="full ${step}" style="inline-size: ${share * 100}%"></div>
        <div class="mark" style="inset-inline-start: ${budget.soft * 100}%"></div>
      </div>
      <span class="muted">${words}</span>
    </div>`;
  }

  private limits(budget: Budget) {
    const leave = () => {
      this.changing = false;
    };
    return html`<kitty-dialog .open=${this.changing} .heading=${this.t("costs.change")} @close=${leave}>
      <form id="limits" @submit=${this.change}>
        <label class="field">
          ${this.t("costs.daily", { currency: budget.currency })}
          <input type="number" name="daily" min="0" step="any" required .value=${String(budget.day.cap)} />
        </label>
        <label class="field">
          ${this.t("costs.monthly", { currency: budget.currency })}
          <input type="number" name="monthly" min="0" step="any" required .value=${String(budget.month.cap)} />
        </label>
        <label class="field">
          ${this.t("costs.soft")}
          <input type="number" name="soft" min="1" max="100" step="1" required .value=${String(Math.round(budget.soft * 100))} />
        </label>
        <p class="muted">${this.t("costs.about_limits")}</p>
      </form>
      <button slot="actions" @click=${leave}>${this.t("common.cancel")}</button>
      <button slot="actions" class="primary" ?disabled=${this.busy.has("limits")} @click=${this.submit}>
        ${this.t("costs.save")}
      </button>
    </kitty-dialog>`;
  }

  private submit(): void {
    this.renderRoot.querySelector<HTMLFormElement>("#limits")?.requestSubmit();
  }

  private async change(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const given = new FormData(event.target as HTMLFormElement);
    const value = (name: string) => Number(given.get(name));
    const data = { daily: value("daily"), monthly: value("monthly"), soft: value("soft") / 100, ...this.here };
    if (await this.doing("limits", () => this.call("set_budget", data), this.t("costs.changed"))) {
      this.changing = false;
    }
  }

  // -- plots ---------------------------------------------------------------------------------------------

  private series(stack: Stack): Series[] {
    const day = new Intl.DateTimeFormat(this.hass.locale?.language ?? this.hass.language, {
      day: "numeric",
      month: "numeric",
      timeZone: "UTC",
    });
    const labels = stack.bars.map((one) => day.format(Date.parse(`${one}T00:00:00Z`)));
    return stack.series.map(({ name, values }) => ({
      name,
      points: values.map((value, at) => ({ label: labels[at] ?? "", value })),
    }));
  }

  private byDay(spending: Spending, all: string[]) {
    const stack = stacked(
      spending.items,
      all,
      (row) => tierName(this.hass, row.tier),
      (row) => row.cost,
    );
    const tiers = summed(
      spending.items,
      (row) => tierName(this.hass, row.tier),
      (row) => row.cost,
    );
    const sum = spending.items.reduce((so_far, row) => so_far + row.cost, 0);
    const most = Math.max(
      0,
      ...stack.bars.map((_, at) => stack.series.reduce((all, one) => all + (one.values[at] ?? 0), 0)),
    );
    const cap = this.budget.whole?.day?.cap ?? 0;
    const daily = stack.bars.length === all.length;
    const marks = daily && cap > 0 && cap <= most * IN_SIGHT ? [{ label: this.t("costs.cap"), value: cap }] : [];
    return html`<section class="card">
      <h3>${this.t("costs.by_day")}</h3>
      ${
        stack.series.length
          ? html`<p>${this.t("costs.sum", { what: money(this.hass, sum, spending.currency) })}</p>
              <div class="row">
                ${tiers.map((one) => html`<span class="chip">${this.named(one.name, money(this.hass, one.value, spending.currency))}</span>`)}
              </div>
              <kitty-plot
                kind="bar"
                .label=${this.t("costs.by_day")}
                .series=${this.series(stack)}
                .marks=${marks}
                .format=${(value: number) => money(this.hass, value, spending.currency)}
              ></kitty-plot>`
          : html`<p class="muted">${this.t("costs.nothing_spent")}</p>`
      }
    </section>`;
  }

  private answers(decisions: Decisions, all: string[]) {
    // An answer from the cache is nobody's: it stands for itself.
    const rows = decisions.days.flatMap((row) => [
      { day: row.day, name: tierName(this.hass, row.tier), value: row.answers - row.cached },
      { day: row.day, name: this.t("costs.from_cache"), value: row.cached },
    ]);
    const stack = stacked(
      rows.filter((row) => row.value > 0),
      all,
      (row) => row.name,
      (row) => row.value,
    );
    return html`<section class="card">
      <h3>${this.t("costs.answers")}</h3>
      ${
        stack.series.length
          ? html`<p>${this.t("costs.answered", { n: rows.reduce((sum, row) => sum + row.value, 0) })}</p>
              <kitty-plot
                kind="bar"
                .label=${this.t("costs.answers")}
                .series=${this.series(stack)}
                .format=${(value: number) => (Number.isInteger(value) ? number(this.hass, value) : "")}
              ></kitty-plot>`
          : html`<p class="muted">${this.t("costs.nothing_answered")}</p>`
      }
    </section>`;
  }

  // -- tables --------------------------------------------------------------------------------------------

  private modelName(row: Spent): string {
    const provider = this.providers.get(row.provider_id)?.name;
    return [provider, row.model].filter(Boolean).join(" · ") || tierName(this.hass, row.tier);
  }

  private byModel(spending: Spending) {
    const models = summed(
      spending.items,
      (row) => `${this.modelName(row)}\n${row.tier}`,
      (row) => row.cost,
    );
    const most = models[0]?.value ?? 0;
    const sum = (rows: Spent[], name: "calls" | "tokens_in" | "tokens_out") =>
      number(
        this.hass,
        rows.reduce((all, row) => all + row[name], 0),
      );
    return html`<section class="card">
      <h3>${this.t("costs.by_model")}</h3>
      ${
        models.length
          ? html`<div class="scroll" tabindex="0" role="region" aria-label=${this.t("costs.by_model")}>
              <table>
                <thead>
                  <tr>
                    <th>${this.t("costs.model")}</th>
                    <th class="number">${this.t("costs.calls")}</th>
                    <th class="number">${this.t("costs.tokens")}</th>
                    <th class="number">${this.t("costs.cost")}</th>
                    <th class="share" aria-hidden="true"></th>
                  </tr>
                </thead>
                <tbody>
                  ${models.map(
                    (one) => html`<tr>
                      <td>
                        ${one.name.split("\n")[0]}
                        <div class="muted">${tierName(this.hass, one.rows[0]?.tier ?? "")}</div>
                      </td>
                      <td class="number">${sum(one.rows, "calls")}</td>
                      <td class="number">${sum(one.rows, "tokens_in")} + ${sum(one.rows, "tokens_out")}</td>
                      <td class="number">${money(this.hass, one.value, spending.currency)}</td>
                      <td class="share" aria-hidden="true">
                        <div style="inline-size: ${most ? (one.value / most) * 100 : 0}%"></div>
                      </td>
                    </tr>`,
                  )}
                </tbody>
              </table>
            </div>`
          : html`<p class="muted">${this.t("costs.nothing_spent")}</p>`
      }
    </section>`;
  }

  private speeds(decisions: Decisions) {
    const most = Math.max(1, ...decisions.tiers.map((one) => one.p99_ms));
    return html`<section class="card">
      <h3>${this.t("costs.speed")}</h3>
      ${
        decisions.tiers.length
          ? html`<div class="scroll" tabindex="0" role="region" aria-label=${this.t("costs.speed")}>
                <table>
                  <thead>
                    <tr>
                      <th>${this.t("costs.tier")}</th>
                      <th class="number">${this.t("costs.count")}</th>
                      <th class="number">${this.t("costs.p50")}</th>
                      <th class="number">${this.t("costs.p99")}</th>
                      <th class="share" aria-hidden="true"></th>
                    </tr>
                  </thead>
                  <tbody>
                    ${decisions.tiers.map(
                      (one) => html`<tr>
                        <td>${tierName(this.hass, one.tier)}</td>
                        <td class="number">${number(this.hass, one.answers)}</td>
                        <td class="number">${milliseconds(this.hass, one.p50_ms)}</td>
                        <td class="number">${milliseconds(this.hass, one.p99_ms)}</td>
                        <td class="share" aria-hidden="true">
                          <div style="inline-size: ${(one.p99_ms / most) * 100}%"></div>
                        </td>
                      </tr>`,
                    )}
                  </tbody>
                </table>
              </div>
              <p class="muted">${this.t("costs.about_speed")}</p>`
          : html`<p class="muted">${this.t("costs.nothing_answered")}</p>`
      }
    </section>`;
  }

  private cache({ cache }: Decisions) {
    return html`<section class="card">
      <h3>${this.t("costs.cache")}</h3>
      <p>
        <span class="big">${cache.hit_ratio === null ? "–" : percent(this.hass, cache.hit_ratio)}</span>
        <span class="muted">${this.t("costs.hits", { hits: cache.hits, of: cache.hits + cache.misses })}</span>
      </p>
      <p class="muted">
        ${this.t("costs.kept", { n: cache.entries, size: number(this.hass, cache.bytes / MEGABYTE), most: number(this.hass, cache.most_bytes / MEGABYTE) })}
      </p>
      ${
        this.hass.user?.is_admin
          ? html`<div class="row">
              <button ?disabled=${this.busy.has("cache") || cache.entries === 0} @click=${() => this.clear()}>
                ${this.t("costs.clear")}
              </button>
            </div>`
          : nothing
      }
    </section>`;
  }

  private async clear(): Promise<void> {
    const deed = () => this.call("clear_cache", { all: true, ...this.here });
    if (await this.doing("cache", deed, this.t("costs.cleared"))) await this.sums.again();
  }
}
