/** What stands where nothing else can: not yet, nothing, not possible. */

import { html, type TemplateResult } from "lit";
import type { Failure } from "../data/actions";
import type { Hass } from "../data/hass";
import { t } from "../i18n";
import "./icon";

export function loading(hass: Hass | undefined): TemplateResult {
  return html`<p class="muted" role="status">${t(hass, "common.loading")}</p>`;
}

/** Nothing is known of it, because its brain is not heard; a note above says why. */
export function unknown(hass: Hass | undefined): TemplateResult {
  return html`<p class="muted" role="status">${t(hass, "common.not_known")}</p>`;
}

/** Nothing is there; `text` says what would be here, and how it comes. */
export function empty(text: string, icon?: string): TemplateResult {
  return html`<div class="card" style="text-align: center; padding: 32px 16px">
    ${icon ? html`<kitty-icon class="muted" style="--icon-size: 48px" .path=${icon}></kitty-icon>` : ""}
    <p class="muted">${text}</p>
  </div>`;
}

/** It did not work; in words, with a way to try again where there is one. */
export function failed(hass: Hass | undefined, failure: Failure, again?: () => void): TemplateResult {
  return html`<div class="card stack" role="alert">
    <p>${failure.message}</p>
    ${again ? html`<div class="row"><button @click=${again}>${t(hass, "common.try_again")}</button></div>` : ""}
  </div>`;
}
