/** Calls of actions: the only way in which the panel changes or fetches anything. */

import type { Hass } from "./hass";

/** What went wrong: a code that stays the same, and words for people. */
export interface Failure {
  code: string;
  message: string;
}

interface WireError {
  code?: string | number;
  message?: string;
  translation_key?: string;
  translation_domain?: string;
  translation_placeholders?: Record<string, string>;
}

/** The error of an action: `code` is one of docs/ERRORS.md, `message` is in the person's own language. */
export class ActionError extends Error implements Failure {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
    this.name = "ActionError";
  }
}

/** Returns the code and the English words of whatever was thrown. */
export function failureOf(error: unknown): Failure {
  if (error instanceof ActionError) return { code: error.code, message: error.message };
  const wire = (typeof error === "object" && error ? error : {}) as WireError;
  return {
    code: wire.translation_key ?? (wire.code === undefined ? "unknown" : String(wire.code)),
    message: wire.message ?? String(error),
  };
}

async function translated(hass: Hass, error: unknown): Promise<ActionError> {
  const found = failureOf(error);
  const wire = error as WireError;
  if (!wire?.translation_key) return new ActionError(found.code, found.message);
  const domain = wire.translation_domain ?? "kitty";
  // This hass may not know the words that were just loaded; the function that comes back does.
  const localize = await hass.loadBackendTranslation("exceptions", domain);
  const key = `component.${domain}.exceptions.${wire.translation_key}.message`;
  const words = localize(key, wire.translation_placeholders);
  return new ActionError(found.code, words || found.message);
}

interface Answer<T> {
  response: T;
}

/** Calls an action of KITTY and returns its response; ActionError in the person's language. */
export async function call<T = unknown>(
  hass: Hass,
  action: string,
  data: Record<string, unknown> = {},
  options: { response?: boolean } = {},
): Promise<T> {
  return callAny<T>(hass, "kitty", action, data, { response: options.response ?? true });
}

/** Sends what must be in the data of no action; ActionError in the person's language. */
export async function send(hass: Hass, message: Record<string, unknown>): Promise<void> {
  try {
    await hass.callWS(message);
  } catch (error) {
    throw await translated(hass, error);
  }
}

/** Calls an action of Home Assistant on something of KITTY's: a switch, a button. */
export async function callAny<T = unknown>(
  hass: Hass,
  domain: string,
  service: string,
  data: Record<string, unknown>,
  options: { response?: boolean } = {},
): Promise<T> {
  try {
    const answer = await hass.callWS<Answer<T>>({
      type: "call_service",
      domain,
      service,
      service_data: data,
      return_response: options.response ?? false,
    });
    return answer.response;
  } catch (error) {
    throw await translated(hass, error);
  }
}
