/** How long something may still be decided: counts down each second, and says when it is over. */

import { css, html, LitElement } from "lit";
import { property, state } from "lit/decorators.js";
import type { Hass } from "../data/hass";
import { t } from "../i18n";
import { define } from "./define";
import { duration } from "./format";

/** Fires `over` once when the time has come. */
@define("kitty-countdown")
export class KittyCountdown extends LitElement {
  @property({ attribute: false, hasChanged: () => false }) hass!: Hass;
  /** POSIX seconds. */
  @property({ type: Number }) until = 0;
  @property({ type: Number }) total = 0;
  @state() private now = Date.now() / 1000;
  private timer: ReturnType<typeof setInterval> | undefined;

  static override styles = css`
    :host {
      display: inline-grid;
      gap: 2px;
      font-variant-numeric: tabular-nums;
    }
    .bar {
      background: var(--divider-color, #e0e0e0);
      block-size: 3px;
      border-radius: 2px;
      overflow: hidden;
    }
    .left {
      background: currentcolor;
      block-size: 100%;
    }
    /* The red of a theme is often too pale for words. */
    :host([urgent]) {
      font-weight: 700;
    }
    :host([urgent]) .left {
      background: var(--error-color, #db4437);
    }
  `;

  override connectedCallback(): void {
    super.connectedCallback();
    this.timer = setInterval(() => {
      this.now = Date.now() / 1000;
    }, 1000);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.timer);
  }

  override render() {
    const left = this.until - this.now;
    const urgent = left < Math.min(20, this.total / 4 || 20);
    this.toggleAttribute("urgent", urgent);
    if (left <= 0) return html`<span>${t(this.hass, "common.time_is_over")}</span>`;
    const share = this.total ? Math.max(0, Math.min(1, left / this.total)) : 0;
    return html`<span role="timer">${duration(this.hass, left)}</span>
      ${this.total ? html`<div class="bar"><div class="left" style="inline-size: ${share * 100}%"></div></div>` : ""}`;
  }

  override updated(): void {
    if (this.timer && this.until && this.now >= this.until) {
      clearInterval(this.timer);
      this.timer = undefined;
      this.dispatchEvent(new CustomEvent("over"));
    }
  }
}
