/** How a print turned out: a word, stars, what was wrong, and a photo. */

import { mdiStar, mdiStarOutline, mdiThumbDown, mdiThumbUp } from "@mdi/js";
import { css, html, nothing, type PropertyValues } from "lit";
import { property, state } from "lit/decorators.js";
import type { Key } from "../../i18n";
import { define } from "../../ui/define";
import "../../ui/dialog";
import "../../ui/icon";
import { KittyPage } from "../../ui/page";
import { shared } from "../../ui/styles";
import type { Review } from "./rows";

const REASONS = [
  "stringing",
  "warping",
  "layer_shift",
  "under_extrusion",
  "blobs",
  "poor_adhesion",
  "wrong_size",
  "surface",
  "spaghetti",
  "clog",
  "other",
] as const;
const STARS = [1, 2, 3, 4, 5];
/** What the brain takes is 700 KB; a photo of a phone is larger. */
const SIDES = [1600, 1200, 800, 480];
const MOST_CHARACTERS = 900_000;

/** Returns a photo as base64, as large as it may be; null where it is no picture. */
async function small(file: File): Promise<string | null> {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return null;
  for (const side of SIDES) {
    const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    const image = canvas.toDataURL("image/jpeg", 0.85).split(",")[1] ?? "";
    if (image.length < MOST_CHARACTERS) return image;
  }
  return null;
}

/** Fires `close` when it was said, or left. */
@define("kitty-print-review")
export class KittyPrintReview extends KittyPage {
  @property({ attribute: false }) review: Review | null = null;
  @state() private good: boolean | null = null;
  @state() private rating = 0;
  @state() private reasons: ReadonlySet<string> = new Set();
  @state() private photo: string | null = null;
  @state() private noPhoto = false;

  static override styles = [
    shared,
    css`
      .choice button[aria-pressed="true"] {
        background: color-mix(in srgb, var(--primary-color) 24%, transparent);
        border-color: var(--primary-color);
      }
      .stars button {
        border: none;
        border-radius: 50%;
        min-height: 40px;
        padding: 0;
        width: 40px;
      }
      .stars kitty-icon {
        color: var(--warning-color, #ffa600);
        --icon-size: 28px;
      }
      fieldset {
        border: none;
        margin: 0;
        padding: 0;
      }
      legend {
        color: var(--secondary-text-color);
        font-size: 13px;
        padding: 0 0 4px;
      }
      textarea {
        width: 100%;
      }
      img {
        border-radius: 8px;
        max-height: 160px;
        max-width: 100%;
      }
    `,
  ];

  override willUpdate(changed: PropertyValues): void {
    if (!changed.has("review") || !this.review) return;
    const { good, rating, reasons } = this.review;
    this.good = good ?? (this.review.outcome === "failed" ? false : null);
    this.rating = rating ?? 0;
    this.reasons = new Set(reasons);
    this.photo = null;
    this.noPhoto = false;
  }

  override render() {
    const { review } = this;
    return html`<kitty-dialog .open=${review !== null} heading=${this.t("prints.judge_ask", { file: review?.file ?? "" })} @close=${this.leave}>
      ${review ? this.form(review) : nothing}
      <button slot="actions" @click=${this.leave}>${this.t("common.cancel")}</button>
      <button slot="actions" class="primary" ?disabled=${this.good === null || this.busy.has("review")} @click=${this.say}>
        ${this.t("prints.judge_do")}
      </button>
    </kitty-dialog>`;
  }

  private form(review: Review) {
    const word = (good: boolean, icon: string, label: Key) => html`<button
      aria-pressed=${this.good === good}
      @click=${() => {
        this.good = good;
      }}
    >
      <kitty-icon .path=${icon}></kitty-icon>${this.t(label)}
    </button>`;
    return html`<div class="row choice" role="group" aria-label=${this.t("prints.of_use")}>
        ${word(true, mdiThumbUp, "prints.good")} ${word(false, mdiThumbDown, "prints.not_good")}
      </div>
      <div class="row stars" role="group" aria-label=${this.t("prints.rating")}>
        ${STARS.map(
          (star) => html`<button
            aria-pressed=${this.rating === star}
            aria-label=${this.t("prints.stars", { n: star })}
            @click=${() => {
              this.rating = this.rating === star ? 0 : star;
            }}
          >
            <kitty-icon .path=${star <= this.rating ? mdiStar : mdiStarOutline}></kitty-icon>
          </button>`,
        )}
      </div>
      ${
        this.good === false
          ? html`<fieldset>
              <legend>${this.t("prints.what_wrong")}</legend>
              <div class="row choice">
                ${REASONS.map(
                  (reason) => html`<button aria-pressed=${this.reasons.has(reason)} @click=${() => this.turn(reason)}>
                    ${this.t(`prints.wrong.${reason}`)}
                  </button>`,
                )}
              </div>
            </fieldset>`
          : nothing
      }
      <label class="field">${this.t("prints.note")}<textarea name="note" rows="2" maxlength="2000" .value=${review.note ?? ""}></textarea></label>
      <label class="field">${this.t("prints.photo")}<input type="file" accept="image/*" @change=${this.take} /></label>
      ${this.photo ? html`<img src="data:image/jpeg;base64,${this.photo}" alt=${this.t("prints.photo")} />` : nothing}
      ${this.noPhoto ? html`<p role="alert">${this.t("prints.no_photo")}</p>` : nothing}`;
  }

  private turn(reason: string): void {
    const now = new Set(this.reasons);
    if (!now.delete(reason)) now.add(reason);
    this.reasons = now;
  }

  private async take(event: Event): Promise<void> {
    const [file] = (event.target as HTMLInputElement).files ?? [];
    this.photo = file ? await small(file) : null;
    this.noPhoto = file !== undefined && this.photo === null;
  }

  private async say(): Promise<void> {
    const { review } = this;
    if (!review) return;
    const note = this.renderRoot.querySelector<HTMLTextAreaElement>("textarea")?.value.trim();
    const data = {
      ...this.here,
      job_id: review.job_id,
      good: this.good,
      reasons: this.good ? [] : [...this.reasons],
      ...(this.rating ? { rating: this.rating } : {}),
      ...(note ? { note } : {}),
      ...(this.photo ? { picture: this.photo } : {}),
    };
    if (
      await this.doing("review", () => this.call("review_print", data), this.t("prints.judged", { file: review.file }))
    )
      this.leave();
  }

  private leave(): void {
    this.dispatchEvent(new CustomEvent("close"));
  }
}
