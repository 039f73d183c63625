// The official client of Ollama, as it comes.

import assert from "node:assert/strict";
import test from "node:test";
import { Ollama } from "ollama";
import { all, city, png, question, url } from "./corral.mjs";

const client = new Ollama({ host: url });
const options = { num_predict: 8, temperature: 0 };
const tool = { type: "function", function: { name: "weather", parameters: city } };

test("a chat comes whole, or in pieces that are the same", async () => {
  const whole = await client.chat({ model: "smollm2", messages: question, options });
  assert.ok(whole.message.content);
  assert.equal(whole.done, true);
  assert.ok(whole.created_at && whole.eval_count <= 8);
  const pieces = await all(
    await client.chat({ model: "smollm2", messages: question, options, stream: true }),
  );
  assert.equal(pieces.map((piece) => piece.message.content).join(""), whole.message.content);
  assert.equal(pieces.at(-1).done_reason, whole.done_reason);
});

test("a prompt is gone on with, and its context with it", async () => {
  const first = await client.generate({ model: "smollm2", prompt: "My name is Ann.", options });
  assert.ok(first.response && first.context.length >= first.prompt_eval_count);
  const second = await client.generate({
    model: "smollm2", prompt: "Who?", context: first.context, options, stream: true,
  });
  assert.equal((await all(second)).at(-1).done, true);
});

test("an answer follows its schema", async () => {
  const answer = await client.chat({
    model: "smollm2", messages: question, format: city, options: { temperature: 0, num_predict: 60 },
  });
  assert.equal(typeof JSON.parse(answer.message.content).city, "string");
});

test("log probabilities come with the tokens", async () => {
  const answer = await client.chat({
    model: "smollm2", messages: question, options, logprobs: true, top_logprobs: 2,
  });
  assert.equal(answer.logprobs[0].top_logprobs.length, 2);
  assert.ok(answer.logprobs[0].logprob <= 0);
});

test("tools and their results are taken", async () => {
  const call = { function: { name: "weather", arguments: { city: "Paris" } } };
  const answer = await client.chat({
    model: "tools",
    messages: [
      ...question,
      { role: "assistant", content: "", tool_calls: [call] },
      { role: "tool", tool_name: "weather", content: "sunny" },
    ],
    tools: [tool],
    options,
  });
  assert.equal(answer.message.role, "assistant");
});

test("every text gets its vector", async () => {
  const found = await client.embed({ model: "smollm2", input: ["hi", "there"], dimensions: 8 });
  assert.deepEqual(found.embeddings.map((row) => row.length), [8, 8]);
  const old = await client.embeddings({ model: "smollm2", prompt: "hi" });
  assert.equal(old.embedding.length, 576);
});

test("models are listed, shown, copied and deleted", async () => {
  const names = (await client.list()).models.map((model) => model.name);
  assert.ok(names.includes("smollm2:latest"));
  const shown = await client.show({ model: "smollm2" });
  assert.equal(shown.details.family, "llama");
  assert.ok(shown.capabilities.includes("completion"));
  await client.copy({ source: "tiny", destination: "js-copy" });
  assert.equal((await client.delete({ model: "js-copy" })).status, "success");
  await client.generate({ model: "tiny", prompt: "", keep_alive: "5m" });
  assert.ok((await client.ps()).models.some((model) => model.name === "tiny:latest"));
  assert.ok((await client.version()).version);
});

test("a pull tells its steps", async () => {
  const steps = await all(await client.pull({ model: "smollm2", stream: true }));
  assert.equal(steps.at(-1).status, "success");
  assert.equal((await client.pull({ model: "smollm2" })).status, "success");
});

test("a model is made of another, and its steps told", async () => {
  const steps = await all(
    await client.create({ model: "js-made", from: "tiny", system: "Be brief.", stream: true }),
  );
  assert.equal(steps.at(-1).status, "success");
  assert.equal((await client.show({ model: "js-made" })).system, "Be brief.");
  await client.delete({ model: "js-made" });
});

test("errors have their status and words", async () => {
  await assert.rejects(client.chat({ model: "nobody", messages: question }), {
    name: "ResponseError", status_code: 404, message: "model 'nobody' not found",
  });
  await assert.rejects(
    client.chat({ model: "nobody", messages: question, stream: true }), { status_code: 404 },
  );
  await assert.rejects(
    client.chat({ model: "smollm2", messages: [{ ...question[0], images: [png] }] }),
    /does not support vision/,
  );
  await assert.rejects(
    client.chat({ model: "smollm2", messages: question, tools: [tool] }), /does not support tools/,
  );
  await assert.rejects(client.push({ model: "smollm2" }), /not offered/);
});

test("a stream that is aborted ends", async () => {
  const stream = await client.chat({ model: "tiny", messages: question, stream: true });
  await assert.rejects(async () => {
    for await (const _ of stream) stream.abort();
  }, { name: "AbortError" });
});
