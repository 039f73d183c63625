// The official client of OpenAI, as it comes.

import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";
import { all, city, png, question, url } from "./corral.mjs";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0 });
const asked = { model: "smollm2", messages: question, max_tokens: 8, temperature: 0 };
const tool = { type: "function", function: { name: "weather", parameters: city } };

test("a chat comes whole, or in pieces that are the same", async () => {
  const whole = await client.chat.completions.create(asked);
  const [choice] = whole.choices;
  assert.ok(choice.message.content);
  assert.equal(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens);
  const pieces = await all(
    await client.chat.completions.create({
      ...asked, stream: true, stream_options: { include_usage: true },
    }),
  );
  const text = pieces.map((piece) => piece.choices[0]?.delta.content ?? "").join("");
  assert.equal(text, choice.message.content);
  assert.equal(pieces.at(-1).usage.completion_tokens, whole.usage.completion_tokens);
  assert.equal(pieces.at(-2).choices[0].finish_reason, choice.finish_reason);
});

test("a named tool is called, whole and streamed", async () => {
  const forced = {
    ...asked,
    model: "tools",
    tools: [tool],
    tool_choice: { type: "function", function: { name: "weather" } },
    parallel_tool_calls: false,
    max_tokens: 100,
  };
  const [choice] = (await client.chat.completions.create(forced)).choices;
  assert.equal(choice.finish_reason, "tool_calls");
  assert.equal(typeof JSON.parse(choice.message.tool_calls[0].function.arguments).city, "string");
  const told = await client.chat.completions.stream(forced).finalChatCompletion();
  assert.equal(told.choices[0].message.tool_calls[0].function.name, "weather");
});

test("an answer follows its schema", async () => {
  const format = { type: "json_schema", json_schema: { name: "place", schema: city, strict: true } };
  const answer = await client.chat.completions.parse({
    ...asked, max_tokens: 60, response_format: format,
  });
  assert.equal(typeof JSON.parse(answer.choices[0].message.content).city, "string");
});

test("log probabilities come with the tokens", async () => {
  const answer = await client.chat.completions.create({ ...asked, logprobs: true, top_logprobs: 2 });
  const [first] = answer.choices[0].logprobs.content;
  assert.equal(first.top_logprobs.length, 2);
});

test("several answers are told apart", async () => {
  const answer = await client.chat.completions.create({ ...asked, n: 2, temperature: 1 });
  assert.deepEqual(answer.choices.map((choice) => choice.index), [0, 1]);
});

test("a text goes on", async () => {
  const answer = await client.completions.create({ model: "smollm2", prompt: "Once", max_tokens: 4 });
  assert.equal(answer.usage.completion_tokens, 4);
  const pieces = await all(
    await client.completions.create({
      model: "smollm2", prompt: "Once", max_tokens: 4, stream: true,
    }),
  );
  assert.equal(pieces.at(-1).choices[0].finish_reason, "length");
});

test("vectors come as numbers, however they travel", async () => {
  const whole = await client.embeddings.create({ model: "smollm2", input: ["hi", "there"] });
  const plain = await client.embeddings.create({
    model: "smollm2", input: ["hi", "there"], encoding_format: "float",
  });
  assert.equal(whole.data[1].embedding.length, 576);
  assert.ok(Math.abs(whole.data[0].embedding[0] - plain.data[0].embedding[0]) < 1e-4);
});

test("a response streams its events in order", async () => {
  const body = { model: "smollm2", input: "Say hi.", max_output_tokens: 8, temperature: 0 };
  const whole = await client.responses.create(body);
  assert.ok(whole.output_text);
  const events = await all(await client.responses.create({ ...body, stream: true }));
  assert.equal(events[0].type, "response.created");
  assert.deepEqual(events.map((event) => event.sequence_number), [...events.keys()]);
  const text = events.filter((event) => event.type === "response.output_text.delta");
  assert.equal(text.map((event) => event.delta).join(""), whole.output_text);
  const last = await client.responses.stream(body).finalResponse();
  assert.equal(last.output_text, whole.output_text);
});

test("models are listed", async () => {
  const ids = (await all(await client.models.list())).map((model) => model.id);
  assert.ok(ids.includes("smollm2:latest"));
  assert.equal((await client.models.retrieve("smollm2")).object, "model");
});

test("errors are of the client's own kinds", async () => {
  await assert.rejects(client.chat.completions.create({ ...asked, model: "nobody" }), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.code, "model_not_found");
    return true;
  });
  await assert.rejects(client.chat.completions.create({ ...asked, temperature: -1 }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, "temperature");
    return true;
  });
  const part = { type: "image_url", image_url: { url: `data:image/png;base64,${png}` } };
  await assert.rejects(
    client.chat.completions.create({ ...asked, messages: [{ role: "user", content: [part] }] }),
    /does not support vision/,
  );
  await assert.rejects(
    client.responses.create({ model: "smollm2", input: "x", previous_response_id: "resp_1" }),
    /previous_response_id/,
  );
});
