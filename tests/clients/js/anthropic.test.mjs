// The official client of Anthropic, as it comes.

import assert from "node:assert/strict";
import test from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import { all, city, png, question, url } from "./corral.mjs";

const client = new Anthropic({ baseURL: url, apiKey: "any", maxRetries: 0 });
const asked = { model: "smollm2", messages: question, max_tokens: 8, temperature: 0 };
const forced = {
  ...asked,
  model: "tools",
  max_tokens: 100,
  tools: [{ name: "weather", input_schema: city }],
  tool_choice: { type: "tool", name: "weather", disable_parallel_tool_use: true },
};

test("a message comes whole, or in events that are the same", async () => {
  const whole = await client.messages.create({ ...asked, system: "Be brief." });
  assert.equal(whole.content[0].type, "text");
  assert.ok(["end_turn", "max_tokens"].includes(whole.stop_reason));
  const events = await all(
    await client.messages.create({ ...asked, system: "Be brief.", stream: true }),
  );
  assert.equal(events[0].type, "message_start");
  assert.equal(events.at(-1).type, "message_stop");
  const stream = client.messages.stream({ ...asked, system: "Be brief." });
  assert.equal(await stream.finalText(), whole.content[0].text);
});

test("a stop sequence is named", async () => {
  const answer = await client.messages.create({
    model: "tiny", messages: question, max_tokens: 40, stop_sequences: ["de"],
  });
  assert.deepEqual([answer.stop_reason, answer.stop_sequence], ["stop_sequence", "de"]);
});

test("a named tool is used, whole and streamed", async () => {
  const whole = await client.messages.create(forced);
  assert.equal(whole.stop_reason, "tool_use");
  assert.equal(typeof whole.content[0].input.city, "string");
  const told = await client.messages.stream(forced).finalMessage();
  assert.equal(told.content[0].name, "weather");
});

test("the result of a tool is taken", async () => {
  const answer = await client.messages.create({
    ...asked,
    model: "tools",
    tools: forced.tools,
    messages: [
      ...question,
      { role: "assistant", content: [{ type: "tool_use", id: "t1", name: "weather", input: {} }] },
      { role: "user", content: [{ type: "tool_result", tool_use_id: "t1", content: "sunny" }] },
    ],
  });
  assert.equal(answer.role, "assistant");
});

test("tokens are counted as they will be", async () => {
  const { input_tokens: counted } = await client.messages.countTokens({
    model: "smollm2", messages: question,
  });
  const { usage } = await client.messages.create({ ...asked, max_tokens: 1 });
  assert.equal(counted, usage.input_tokens + usage.cache_read_input_tokens);
});

test("models are listed", async () => {
  const ids = (await all(await client.models.list())).map((model) => model.id);
  assert.ok(ids.includes("smollm2:latest"));
});

test("errors are of the client's own kinds", async () => {
  await assert.rejects(client.messages.create({ ...asked, model: "nobody" }), (error) => {
    assert.ok(error instanceof Anthropic.NotFoundError);
    assert.equal(error.error.error.type, "not_found_error");
    assert.ok(error.requestID);
    return true;
  });
  const source = { type: "base64", media_type: "image/png", data: png };
  const content = [{ type: "image", source }];
  await assert.rejects(
    client.messages.create({ ...asked, messages: [{ role: "user", content }] }),
    /does not support vision/,
  );
  await assert.rejects(client.messages.create({ ...asked, max_tokens: 0 }), /max_tokens/);
});
