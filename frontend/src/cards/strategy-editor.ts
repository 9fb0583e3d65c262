/** What a person may choose of the dashboard that builds itself: parts, areas, and how many views. */

import { css, html, nothing } from "lit";
import { state } from "lit/decorators.js";
import { define } from "../ui/define";
import { KittyPage } from "../ui/page";
import { shared } from "../ui/styles";
import { areasOf, PARTS, type Part, type StrategyConfig, VIEWS, type Views } from "./dashboard";

/** Fires `config-changed` with the whole configuration, as Home Assistant's dialog wants it. */
@define("kitty-strategy-editor")
export class KittyStrategyEditor extends KittyPage {
  @state() private config: StrategyConfig | undefined;

  setConfig(config: StrategyConfig): void {
    this.config = config;
  }

  static override styles = [
    shared,
    css`
      fieldset {
        border: none;
        display: grid;
        gap: 8px;
        margin: 0;
        padding: 0;
      }
      legend {
        font-weight: 500;
        padding: 0;
        margin-block-end: 8px;
      }
      label.row {
        cursor: pointer;
        min-block-size: 32px;
      }
    `,
  ];

  override render() {
    const { config } = this;
    if (config === undefined || !this.hass) return nothing;
    const areas = areasOf(this.hass);
    return html`<div class="stack">
      <fieldset>
        <legend>${this.t("cards.editor.parts")}</legend>
        ${PARTS.map((part) => this.choice(this.t(`cards.editor.part.${part}`), this.hasPart(part), () => this.turnPart(part)))}
      </fieldset>
      ${
        areas.length < 2
          ? nothing
          : html`<fieldset>
              <legend>${this.t("cards.editor.areas")}</legend>
              ${areas.map((area) => this.choice(area.name, this.hasArea(area.area_id), () => this.turnArea(area.area_id)))}
            </fieldset>`
      }
      <label class="field">
        ${this.t("cards.editor.views")}
        <select @change=${(event: Event) => this.change({ views: (event.target as HTMLSelectElement).value as Views })}>
          ${VIEWS.map(
            (view) => html`<option value=${view} ?selected=${view === (config.views ?? "auto")}>
              ${this.t(`cards.editor.view.${view}`)}
            </option>`,
          )}
        </select>
      </label>
    </div>`;
  }

  private choice(words: string, chosen: boolean, turned: () => void) {
    return html`<label class="row"><input type="checkbox" .checked=${chosen} @change=${turned} />${words}</label>`;
  }

  private hasPart(part: Part): boolean {
    return this.config?.parts?.includes(part) ?? true;
  }

  private hasArea(areaId: string): boolean {
    return this.config?.areas?.includes(areaId) ?? true;
  }

  private turnPart(part: Part): void {
    const chosen = PARTS.filter((one) => this.hasPart(one) !== (one === part));
    this.change({ parts: chosen.length === PARTS.length ? undefined : chosen });
  }

  private turnArea(areaId: string): void {
    const all = areasOf(this.hass).map((area) => area.area_id);
    const chosen = all.filter((one) => this.hasArea(one) !== (one === areaId));
    this.change({ areas: chosen.length === all.length ? undefined : chosen });
  }

  /** What is as it would be without a choice is left out: then it follows the house as that grows. */
  private change(change: { [K in keyof StrategyConfig]?: StrategyConfig[K] | undefined }): void {
    const { config } = this;
    const merged = { ...config, ...change };
    const kept = Object.entries(merged).filter(
      ([key, value]) => value !== undefined && !(key === "views" && value === "auto"),
    );
    this.config = Object.fromEntries(kept) as unknown as StrategyConfig;
    const detail = { config: this.config };
    this.dispatchEvent(new CustomEvent("config-changed", { bubbles: true, composed: true, detail }));
  }
}
