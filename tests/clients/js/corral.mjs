// What the tests of all three clients share: where the daemon is, and what is asked.

export const url = process.env.CORRAL_URL;
if (!url) throw new Error("CORRAL_URL says where the daemon is");

export const question = [{ role: "user", content: "Say hi." }];
export const city = {
  type: "object",
  properties: { city: { type: "string", maxLength: 20 } },
  required: ["city"],
  additionalProperties: false,
};
export const png =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

/** All pieces of a stream. */
export async function all(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return pieces;
}
