/** Cards, tile feature and dashboard, as Home Assistant's pickers know them. */

import { type Key, pageLanguage, words } from "../i18n";
import { define } from "../ui/define";
import "./approvals-card";
import "./decide-feature";
import type { Registries } from "./house";
import "./print-card";
import { KittyStrategy, STRATEGY } from "./strategy";
import "./strategy-editor";
import { approvalsSuggestion, FEATURE, isSupported, printSuggestion } from "./suggest";

const DOCUMENTATION = "https://github.com/kitty-home/kitty/blob/main/docs/DASHBOARD.md";

interface Offers {
  customCards?: object[];
  customCardFeatures?: object[];
  customStrategies?: object[];
}

define(STRATEGY)(KittyStrategy);

/** Words in the language of the page when they are read: that is known only after this module is loaded. */
const say = (key: Key) => words(pageLanguage(), key);

/** Offers everything once: after an update the old module may still be in the page. */
function offer(window: Offers): void {
  if (window.customCards?.some((card) => "type" in card && card.type === "kitty-print")) return;
  window.customCards ??= [];
  window.customCardFeatures ??= [];
  window.customStrategies ??= [];
  window.customCards.push(
    {
      type: "kitty-approvals",
      get name() {
        return say("cards.approvals.name");
      },
      get description() {
        return say("cards.approvals.description");
      },
      documentationURL: DOCUMENTATION,
      preview: true,
      getEntitySuggestion: (hass: Registries, entityId: string) =>
        approvalsSuggestion(hass, entityId, say("cards.decide.name")),
    },
    {
      type: "kitty-print",
      get name() {
        return say("cards.print.name");
      },
      get description() {
        return say("cards.print.description");
      },
      documentationURL: DOCUMENTATION,
      preview: true,
      getEntitySuggestion: (hass: Registries, entityId: string) => printSuggestion(hass, entityId),
    },
  );
  window.customCardFeatures.push({
    type: FEATURE,
    get name() {
      return say("cards.decide.name");
    },
    isSupported,
    configurable: false,
  });
  window.customStrategies.push({
    type: "kitty",
    strategyType: "dashboard",
    get name() {
      return say("cards.dashboard.name");
    },
    get description() {
      return say("cards.dashboard.description");
    },
    documentationURL: DOCUMENTATION,
  });
}

offer(window as unknown as Offers);
