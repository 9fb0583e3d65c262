/** Goals: what could be better, and a person's yes or no to it. */

import { mdiFlagOutline } from "@mdi/js";
import { css, html, nothing, type PropertyValues } from "lit";
import { property, state } from "lit/decorators.js";
import { type Failure, failureOf } from "../data/actions";
import { personName } from "../data/hass";
import { Live } from "../data/live";
import type { Key } from "../i18n";
import { define } from "../ui/define";
import { money, relative } from "../ui/format";
import { KittyPage } from "../ui/page";
import { empty, failed } from "../ui/states";
import { shared } from "../ui/styles";
import { ordered } from "./logic";
import { statusChip } from "./research-view";
import type { Goal } from "./types";
import { choice } from "./words";

const METRICS = [
  "cost_per_print",
  "estimate_error",
  "filament_waste",
  "incidents_per_week",
  "print_success",
  "quality",
];

@define("kitty-goals")
export class KittyGoals extends KittyPage {
  private readonly goals = new Live<"goals", Goal>(this, "goals");
  private readonly rights = new Live(this, "rights");
  @property() currency = "EUR";
  @state() private past: Goal[] | undefined;
  @state() private failure: Failure | undefined;

  static override styles = [
    shared,
    css`
      form {
        display: grid;
        gap: 12px;
        grid-template-columns: minmax(0, 1fr);
      }
      .goal {
        display: grid;
        gap: 8px;
        align-content: start;
      }
      input[type="number"] {
        width: 120px;
      }
    `,
  ];

  override willUpdate(changed: PropertyValues<this>): void {
    super.willUpdate(changed);
    if (changed.has("entryId")) this.past = undefined;
  }

  override render() {
    const { failure, loaded } = this.goals;
    if (!loaded) return failure ? failed(this.hass, failure) : this.notYet;
    const open = ordered(this.goals.all);
    const known = new Set(open.map((one) => one.id));
    const past = this.past?.filter((one) => !known.has(one.id));
    return html`<div class="stack">
      ${open.length ? html`<div class="grid">${open.map((one) => this.goal(one))}</div>` : empty(this.t("goals.none"), mdiFlagOutline)}
      ${this.suggest()}
      ${
        past
          ? html`<h3>${this.t("goals.past")}</h3>
              ${past.length ? html`<div class="grid">${ordered(past).map((one) => this.goal(one))}</div>` : html`<p class="muted">${this.t("goals.no_past")}</p>`}`
          : html`<div class="row">
              <button ?disabled=${this.busy.has("past")} @click=${() => this.readPast()}>${this.t("goals.show_past")}</button>
            </div>`
      }
      ${this.failure ? failed(this.hass, this.failure) : nothing}
    </div>`;
  }

  private readPast() {
    const { entryId } = this;
    return this.doing("past", async () => {
      try {
        const { items } = await this.call<{ items: Goal[] }>("get_goals", { ...this.here });
        if (entryId === this.entryId) this.past = items;
        this.failure = undefined;
      } catch (error) {
        this.failure = failureOf(error);
      }
    });
  }

  private goal(one: Goal) {
    const decider = personName(this.hass, one.decided_by);
    return html`<section class="card goal" data-goal=${one.id}>
      <h3>${one.title}</h3>
      ${one.reason ? html`<p>${one.reason}</p>` : nothing}
      <div class="row">
        ${statusChip(choice(this.hass, "goal_status", one.status), one.status)}
        ${one.metric ? html`<span class="chip">${choice(this.hass, "goal_metric", one.metric)}</span>` : nothing}
        <span class="chip">${this.t(`goals.origin_${one.origin}` as Key)}</span>
      </div>
      <p class="muted">
        ${this.t("goals.priority", { n: one.priority })} · ${relative(this.hass, one.created_at)}
        ${decider ? html` · ${this.t("goals.decided", { who: decider })}` : nothing}
        ${one.budget ? html` · ${this.t("goals.may_spend", { what: money(this.hass, one.budget, this.currency) })}` : nothing}
      </p>
      ${one.status === "identified" ? this.decide(one) : nothing}
    </section>`;
  }

  private decide(one: Goal) {
    const { loaded, whole } = this.rights;
    if (!whole?.may_decide) return loaded ? html`<p class="muted">${this.t("goals.who_decides")}</p>` : nothing;
    return html`<form @submit=${(event: SubmitEvent) => this.approve(event, one)}>
      <label class="field">
        ${this.t("goals.budget", { currency: this.currency })}
        <input type="number" name="budget" min="0" step="any" inputmode="decimal" placeholder="0" />
      </label>
      <div class="row">
        <button class="primary" ?disabled=${this.busy.has(one.id)}>${this.t("goals.approve")}</button>
        <button type="button" ?disabled=${this.busy.has(one.id)} @click=${() => this.say(one, false)}>
          ${this.t("goals.reject")}
        </button>
      </div>
    </form>`;
  }

  private approve(event: SubmitEvent, one: Goal): void {
    event.preventDefault();
    const budget = Number(new FormData(event.target as HTMLFormElement).get("budget") || 0);
    void this.say(one, true, budget);
  }

  private say(one: Goal, approve: boolean, budget = 0) {
    const data = { goal_id: one.id, approve, ...(approve && budget > 0 ? { budget } : {}), ...this.here };
    return this.doing(
      one.id,
      () => this.call("decide_goal", data),
      this.t(approve ? "goals.is_approved" : "goals.is_rejected"),
    );
  }

  private suggest() {
    return html`<details class="card">
      <summary>${this.t("goals.suggest")}</summary>
      <form style="margin-block-start: 12px" @submit=${this.add}>
        <label class="field">${this.t("goals.title")}<input name="title" required minlength="3" maxlength="200" /></label>
        <label class="field">${this.t("goals.reason")}<textarea name="reason" rows="2" maxlength="2000"></textarea></label>
        <label class="field">
          ${this.t("goals.metric")}
          <select name="metric">
            <option value="">${this.t("goals.any_metric")}</option>
            ${METRICS.map((one) => html`<option value=${one}>${choice(this.hass, "goal_metric", one)}</option>`)}
          </select>
        </label>
        <div class="row"><button ?disabled=${this.busy.has("add")}>${this.t("goals.add")}</button></div>
      </form>
    </details>`;
  }

  private async add(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const given = [...new FormData(form)].filter(([, value]) => value !== "");
    const deed = () => this.call("add_goal", { ...Object.fromEntries(given), ...this.here });
    if (await this.doing("add", deed, this.t("goals.added"))) form.reset();
  }
}
