import assert from "node:assert/strict";
import { test } from "node:test";
import { OutputBuffer, type Piece } from "../src/worker/output-buffer.js";

/** What a reader has, who puts pieces where they say and skips what they dropped. */
function assembled(pieces: Piece[]): { text: string; dropped: number; end: number } {
  let end = 0;
  let dropped = 0;
  let text = "";
  for (const piece of pieces) {
    assert.equal(piece.offset, end + piece.droppedBytes, "no gap but those that are told");
    dropped += piece.droppedBytes;
    text += Buffer.from(piece.data).toString("latin1");
    end = piece.offset + piece.data.length;
  }
  return { text, dropped, end };
}

function drain(buffer: OutputBuffer, nowMs: number): Piece[] {
  const pieces: Piece[] = [];
  for (let part = buffer.take(1 << 20, nowMs); part.length > 0; part = buffer.take(1 << 20, nowMs))
    pieces.push(...part);
  return pieces;
}

test("both channels share one line of offsets, in the order read", () => {
  const buffer = new OutputBuffer(100, 100);
  buffer.append(1, Buffer.from("one"), 0);
  buffer.append(2, Buffer.from("two"), 0);
  buffer.append(1, Buffer.from("three"), 0);
  buffer.finish();
  assert.ok(buffer.fitsInline);
  const pieces = buffer.allPieces();
  assert.deepEqual(
    pieces.map((piece) => [piece.offset, piece.channel]),
    [
      [0, 1],
      [3, 2],
      [6, 1],
    ],
  );
  assert.equal(assembled(pieces).text, "onetwothree");
});

test("beginning and end are kept whole whatever is left out between, however it is taken", () => {
  for (let seed = 1; seed <= 300; seed += 1) {
    let state = seed;
    const random = (below: number) => {
      state = (state * 1103515245 + 12345) % 2147483648;
      return state % below;
    };
    const head = random(200);
    const tail = 1 + random(200);
    const buffer = new OutputBuffer(head, tail);
    let written = "";
    const sent: Piece[] = [];
    for (let nowMs = 0; nowMs < 40; nowMs += 1) {
      const text = String.fromCharCode(97 + random(26)).repeat(random(60));
      buffer.append(random(2) === 0 ? 1 : 2, Buffer.from(text), nowMs);
      written += text;
      if (random(3) === 0) sent.push(...buffer.take(1 + random(150), nowMs * 1_000));
      const last = sent.at(-1);
      if (last !== undefined && random(3) === 0) buffer.acknowledge(last.offset + last.data.length);
    }
    buffer.finish();
    sent.push(...drain(buffer, 1e9));
    const { text, dropped, end } = assembled(sent);
    assert.equal(end, written.length, `seed ${seed}`);
    assert.equal(text.length + dropped, written.length);
    assert.ok(text.startsWith(written.slice(0, head)), `seed ${seed}: the beginning is whole`);
    assert.ok(
      text.endsWith(written.slice(-Math.min(tail, written.length))),
      `seed ${seed}: the end is whole`,
    );
    assert.equal(buffer.droppedBytes, Math.max(0, written.length - head - tail));
  }
});

test("memory stays bounded while nobody takes anything", () => {
  const buffer = new OutputBuffer(1_000, 50_000);
  for (let count = 0; count < 10_000; count += 1) buffer.append(1, Buffer.alloc(100, 120), 0);
  buffer.finish();
  const held = assembled(drain(buffer, 0));
  assert.ok(held.text.length <= 1_000 + 50_000 + (16 << 10), String(held.text.length));
  assert.equal(held.text.length + held.dropped, 1_000_000);
});

test("what is not acknowledged is sent again behind a break", () => {
  const buffer = new OutputBuffer(1_000, 100);
  buffer.append(1, Buffer.from("abcdef"), 0);
  assert.equal(assembled(buffer.take(1_000, 0)).text, "abcdef");
  buffer.acknowledge(2);
  buffer.rewind();
  const again = buffer.take(1_000, 0);
  assert.deepEqual(
    again.map((piece) => [piece.offset, Buffer.from(piece.data).toString()]),
    [[2, "cdef"]],
  );
  assert.equal(buffer.isAcknowledged, false);
  buffer.acknowledge(6);
  assert.equal(buffer.isAcknowledged, true);
  assert.equal(buffer.fitsInline, false);
});

test("without a kept end a gap at the end is told all the same", () => {
  const buffer = new OutputBuffer(3, 0);
  buffer.append(1, Buffer.from("abcdef"), 0);
  buffer.finish();
  const { text, dropped, end } = assembled(drain(buffer, 0));
  assert.deepEqual([text, dropped, end], ["abc", 3, 6]);
});

test("behind the beginning a running task sends no more than the kept end in a second", () => {
  const buffer = new OutputBuffer(10, 100 << 10);
  let sent = 0;
  for (let nowMs = 0; nowMs < 10_000; nowMs += 10) {
    buffer.append(1, Buffer.alloc(50 << 10), nowMs);
    for (const piece of buffer.take(1 << 20, nowMs)) sent += piece.data.length;
  }
  assert.ok(sent > 5 * (100 << 10) && sent < 15 * (100 << 10), String(sent));
});
