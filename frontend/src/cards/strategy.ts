/** The dashboard that builds itself: what Home Assistant's dashboards ask of it. */

import { type Key, words } from "../i18n";
import { type Dashboard, dashboardOf, type Home, type Say, type StrategyConfig } from "./dashboard";
import { isOutdated, REGISTRIES, type Registries } from "./house";

export const STRATEGY = "ll-strategy-dashboard-kitty";

type Spoken = Home & { readonly language: string };

export class KittyStrategy extends HTMLElement {
  static readonly registryDependencies = REGISTRIES;

  static async generate(config: StrategyConfig, hass: Spoken): Promise<Dashboard> {
    const say: Say = (word) => words(hass.language, `cards.dashboard.${word}` satisfies Key);
    return dashboardOf(config, hass, say);
  }

  static shouldRegenerate(_config: StrategyConfig, before: Registries, now: Registries): boolean {
    return isOutdated(before, now);
  }

  static getCreateSuggestions(hass: Spoken): { title: string; icon: string } {
    return { title: words(hass.language, "cards.dashboard.title"), icon: "mdi:hammer-wrench" };
  }

  static async getConfigElement(): Promise<HTMLElement> {
    return document.createElement("kitty-strategy-editor");
  }
}
