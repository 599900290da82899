/** One way to ask the servers: a fetch that ends in data or in an ApiError saying what the server said. */

/** A failed request. `kind` is the server's errorType (bad_data, execution, …) or 'network' when nothing answered. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly kind: string,
    readonly status: number,
  ) {
    super(message);
  }
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}

export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  return new ApiError(error instanceof Error ? error.message : String(error), 'internal', 0);
}

/** Sends a request and returns status and body text; rejects with ApiError when no server answers, AbortError when cancelled. */
export async function send(url: string, init: RequestInit = {}): Promise<{ status: number; body: string }> {
  try {
    const response = await fetch(url, { credentials: 'same-origin', ...init });
    return { status: response.status, body: await response.text() };
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError(`no answer from ${new URL(url, document.baseURI).host}: is the server running?`, 'network', 0);
  }
}

/** Parses a body as JSON, or fails with the start of what came instead (a proxy's error page, for example). */
export function parseJson<T>(status: number, body: string): T {
  try {
    return JSON.parse(body) as T;
  } catch {
    throw new ApiError(`HTTP ${status}: ${body.trim().slice(0, 300) || 'empty answer'}`, `http ${status}`, status);
  }
}
