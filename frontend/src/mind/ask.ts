/** Asks KITTY in words: by a voice assistant that is KITTY, whose words come as they are spoken; else by its action, as a whole. */

import { ActionError, call, failureOf } from "../data/actions";
import type { Hass } from "../data/hass";
import { t } from "../i18n";

/** What is heard while an answer comes. */
export interface Listener {
  words(text: string): void;
  tool(name: string): void;
}

interface Pipeline {
  id: string;
  conversation_engine: string;
  prefer_local_intents?: boolean;
}

interface RunEvent {
  type: string;
  data: {
    chat_log_delta?: { role?: string; content?: string | null; tool_calls?: { tool_name: string }[] };
    intent_output?: { response?: { response_type?: string; speech?: { plain?: { speech?: string } } } };
    code?: string;
    message?: string;
  } | null;
}

/** Returns the conversation entity of the brain that is looked at. */
export function agentOf(hass: Hass, entryId: string | undefined): string | undefined {
  return Object.values(hass.entities).find(
    (one) =>
      one.entity_id.startsWith("conversation.") &&
      one.platform === "kitty" &&
      (!entryId || hass.devices[one.device_id ?? ""]?.config_entries.includes(entryId)),
  )?.entity_id;
}

async function pipelineOf(hass: Hass, agent: string | undefined): Promise<Pipeline | undefined> {
  if (!agent) return undefined;
  try {
    const { pipelines } = await hass.callWS<{ pipelines: Pipeline[] }>({ type: "assist_pipeline/pipeline/list" });
    // One that answers by itself what it can would keep its words from the brain.
    return pipelines.find((one) => one.conversation_engine === agent && !one.prefer_local_intents);
  } catch {
    // Assist pipelines are a part of Home Assistant that may not be set up.
    return undefined;
  }
}

/** Asks, and resolves when the answer is over; ActionError where there is none. `stop` ends it early. */
export async function ask(
  hass: Hass,
  question: { text: string; conversationId: string; entryId: string | undefined },
  listener: Listener,
  stop: AbortSignal,
): Promise<void> {
  const pipeline = await pipelineOf(hass, agentOf(hass, question.entryId));
  // Who has left or thought better of it meanwhile asks nothing.
  if (stop.aborted) return;
  if (pipeline) return streamed(hass, pipeline, question, listener, stop);
  const answer = await call<{ text: string }>(hass, "ask", {
    text: question.text,
    conversation_id: question.conversationId,
    language: hass.language,
    ...(question.entryId ? { config_entry_id: question.entryId } : {}),
  });
  listener.words(answer.text);
}

async function streamed(
  hass: Hass,
  pipeline: Pipeline,
  question: { text: string; conversationId: string },
  listener: Listener,
  stop: AbortSignal,
): Promise<void> {
  let unsubscribe: (() => Promise<void> | void) | undefined;
  let lost = () => {};
  let heard = false;
  const hear = (text: string) => {
    heard = true;
    listener.words(text);
  };
  try {
    await new Promise<void>((resolve, reject) => {
      const told = (event: RunEvent) => {
        const { chat_log_delta: delta, intent_output: output } = event.data ?? {};
        if (event.type === "intent-progress" && delta) {
          if (delta.content) hear(delta.content);
          for (const one of delta.tool_calls ?? []) listener.tool(one.tool_name);
        } else if (event.type === "intent-end") {
          const speech = output?.response?.speech?.plain?.speech ?? "";
          if (output?.response?.response_type === "error") reject(new ActionError("not_answered", speech));
          else if (!heard) hear(speech);
        } else if (event.type === "error") {
          reject(new ActionError(event.data?.code ?? "unknown", event.data?.message ?? event.type));
        } else if (event.type === "run-end") resolve();
      };
      stop.addEventListener("abort", () => resolve(), { once: true });
      // What is being answered does not go on over another socket.
      lost = () => reject(new ActionError("connection_lost", t(hass, "panel.home_away")));
      hass.connection.addEventListener("disconnected", lost);
      const run = {
        type: "assist_pipeline/run",
        start_stage: "intent",
        end_stage: "intent",
        pipeline: pipeline.id,
        input: { text: question.text },
        conversation_id: question.conversationId,
      };
      hass.connection.subscribeMessage<RunEvent>(told, run, { resubscribe: false }).then((end) => {
        unsubscribe = end;
        if (stop.aborted) void end();
      }, reject);
    });
  } catch (error) {
    if (error instanceof ActionError) throw error;
    const found = failureOf(error);
    throw new ActionError(found.code, found.message);
  } finally {
    hass.connection.removeEventListener("disconnected", lost);
    // Nobody listens any more: Home Assistant ends what is still going on.
    await Promise.resolve(unsubscribe?.()).catch(() => undefined);
  }
}
