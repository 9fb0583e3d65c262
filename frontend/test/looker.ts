/** What looks at live rows or at what is fetched, in a test: it counts how often it is drawn. */

import { afterEach, beforeEach, vi } from "vitest";
import type { Hass } from "../src/data/hass";
import type { LiveHost } from "../src/data/live";

export function looker(hass: object | undefined, entryId?: string): LiveHost & { drawn: number } {
  return {
    hass: hass as Hass | undefined,
    entryId,
    drawn: 0,
    addController() {},
    removeController() {},
    requestUpdate() {
      this.drawn += 1;
    },
    updateComplete: Promise.resolve(true),
  };
}

/** Lets what waits for nothing but its turn happen. */
export const settle = () => vi.advanceTimersByTimeAsync(0);

/** Has every test of a file at a time that only the test moves. */
export function stopTime(): void {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });
}
