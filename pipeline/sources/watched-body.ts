const BLOCK_BYTES = 64 * 1024;

/**
 * The same body, which tells how much of it has been taken and can be read again for another try. Files and bytes
 * are watched; texts, which are short, go as they are.
 * @param onTaken called with the bytes that the connection has taken since the last call
 */
export function watchBody(
  body: RequestInit['body'],
  onTaken: (bytes: number) => void,
): NonNullable<RequestInit['body']> | undefined {
  if (body instanceof Blob) return watched(body.size, () => body.stream(), onTaken);
  if (body instanceof Uint8Array) return watched(body.length, () => streamOf(body), onTaken);
  return body ?? undefined;
}

/** What `fetch` takes for a file: it sends its size along, and reads it as it is sent. */
function watched(
  size: number,
  open: () => ReadableStream<Uint8Array>,
  onTaken: (bytes: number) => void,
): Blob {
  const stream = (): ReadableStream<Uint8Array> => {
    const reader = open().getReader();
    // Nothing is read ahead of the connection: what was taken is on its way.
    const nothingAhead = { highWaterMark: 0 };
    return new ReadableStream(
      {
        async pull(controller) {
          const { done, value } = await reader.read();
          if (done) {
            controller.close();
            return;
          }
          onTaken(value.length);
          controller.enqueue(value);
        },
        cancel: (reason) => reader.cancel(reason),
      },
      nothingAhead,
    );
  };
  return Object.defineProperties(new Blob([]), { size: { value: size }, stream: { value: stream } });
}

function streamOf(bytes: Uint8Array): ReadableStream<Uint8Array> {
  let offset = 0;
  return new ReadableStream({
    pull(controller) {
      if (offset < bytes.length) controller.enqueue(bytes.subarray(offset, offset + BLOCK_BYTES));
      else controller.close();
      offset += BLOCK_BYTES;
    },
  });
}
