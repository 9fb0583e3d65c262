/** Small drawings of the workshop: how far a print is, how likely it turns out well, what is left on a spool. */

import { html, svg, type TemplateResult } from "lit";
import { css } from "./rows";

const RING = 2 * Math.PI * 42;

/** A ring that is closed at 100 percent; `inside` stands in its middle. */
export function ring(percent: number, inside: string, label: string): TemplateResult {
  const share = Math.max(0, Math.min(100, percent)) / 100;
  return html`<svg class="ring" viewBox="0 0 100 100" role="img" aria-label=${label}>
    <circle cx="50" cy="50" r="42" fill="none" stroke="var(--divider-color, #e0e0e0)" stroke-width="8"></circle>
    <circle cx="50" cy="50" r="42" fill="none" stroke="var(--primary-color)" stroke-width="8" stroke-linecap="round"
      stroke-dasharray="${share * RING} ${RING}" transform="rotate(-90 50 50)"></circle>
    <text x="50" y="57" text-anchor="middle" font-size="20" fill="currentcolor">${inside}</text>
  </svg>`;
}

/** A scale from 0 to 1 with the range in which the truth lies, and the likeliest of it. */
export function interval(low: number, likely: number, high: number, label: string): TemplateResult {
  const x = (share: number) => 4 + 192 * Math.max(0, Math.min(1, share));
  const color =
    likely >= 0.75
      ? "var(--success-color, #43a047)"
      : likely >= 0.5
        ? "var(--warning-color, #ffa600)"
        : "var(--error-color, #db4437)";
  return html`<svg class="interval" viewBox="0 0 200 20" role="img" aria-label=${label}>
    <line x1="4" x2="196" y1="10" y2="10" stroke="var(--divider-color, #e0e0e0)" stroke-width="6" stroke-linecap="round"></line>
    <line x1=${x(low)} x2=${x(high)} y1="10" y2="10" stroke=${color} stroke-opacity="0.5" stroke-width="6" stroke-linecap="round"></line>
    <circle cx=${x(likely)} cy="10" r="6" fill=${color} stroke="var(--card-background-color, #fff)" stroke-width="2"></circle>
  </svg>`;
}

/** A spool from its side: the ring of filament is as thick as what is left on it. */
export function spool(color: string | null, percent: number | null, label: string): TemplateResult {
  const share = Math.max(0, Math.min(100, percent ?? 100)) / 100;
  const hub = 15;
  // What is left is an area, and the eye sees areas.
  const outer = Math.sqrt(hub ** 2 + share * (44 ** 2 - hub ** 2));
  return html`<svg class="spool" viewBox="0 0 100 100" role="img" aria-label=${label}>
    <circle cx="50" cy="50" r="47" fill="var(--secondary-background-color, #f0f0f0)" stroke="var(--secondary-text-color)" stroke-width="2"></circle>
    <circle cx="50" cy="50" r=${outer} fill=${css(color)} stroke="var(--secondary-text-color)" stroke-width="1"></circle>
    ${[0.72, 0.86].map(
      (part) =>
        svg`<circle cx="50" cy="50" r=${hub + (outer - hub) * part} fill="none" stroke="#000" stroke-opacity="0.18" stroke-width="1"></circle>`,
    )}
    <circle cx="50" cy="50" r=${hub} fill="var(--card-background-color, #fff)" stroke="var(--secondary-text-color)" stroke-width="2"></circle>
  </svg>`;
}

/** A bar of what there is: free, set aside, and where it becomes too little. */
export function stockBar(
  free: number,
  reserved: number,
  limit: number | null,
  low: boolean,
  label: string,
): TemplateResult {
  const most = Math.max(free + reserved, (limit ?? 0) * 1.25, 1);
  const x = (grams: number) => (200 * grams) / most;
  const color = low ? "var(--error-color, #db4437)" : "var(--success-color, #43a047)";
  return html`<svg class="bar" viewBox="0 0 200 16" preserveAspectRatio="none" role="img" aria-label=${label}>
    <rect x="0" y="4" width="200" height="8" rx="4" fill="var(--divider-color, #e0e0e0)"></rect>
    <rect x="0" y="4" width=${x(free + reserved)} height="8" rx="4" fill=${color} fill-opacity="0.4"></rect>
    <rect x="0" y="4" width=${x(free)} height="8" rx="4" fill=${color}></rect>
    ${limit ? svg`<rect x=${Math.min(x(limit), 198)} y="0" width="2" height="16" fill="var(--primary-text-color)"></rect>` : ""}
  </svg>`;
}

/** Three steps, as many of them filled as the danger is high. */
export function hazard(level: "low" | "medium" | "high", label: string): TemplateResult {
  const filled = { low: 1, medium: 2, high: 3 }[level];
  const color = {
    low: "var(--success-color, #43a047)",
    medium: "var(--warning-color, #ffa600)",
    high: "var(--error-color, #db4437)",
  }[level];
  return html`<svg class="hazard" viewBox="0 0 36 24" role="img" aria-label=${label}>
    ${[0, 1, 2].map(
      (step) => svg`<rect x=${2 + step * 12} y=${15 - step * 6} width="9" height=${7 + step * 6} rx="2"
        fill=${step < filled ? color : "var(--divider-color, #e0e0e0)"}></rect>`,
    )}
  </svg>`;
}
