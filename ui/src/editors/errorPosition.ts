/** Finds "line:column" in an error of the server, so that the editor can underline the place. */

/** Character offsets in the query; `to` is at least one past `from` unless the query ends there. */
export interface Place {
  from: number;
  to: number;
}

/** The place of the first "1:5: …" in the message; lines and columns count from one, columns in bytes as the server counts them. */
export function errorPlace(message: string, query: string): Place | undefined {
  const match = /(?:^|[\s"(])(\d+):(\d+): /.exec(message);
  if (!match) return undefined;
  const lines = query.split('\n');
  const row = Number(match[1]) - 1;
  const line = lines[row];
  if (line === undefined) return undefined;
  const bytes = new TextEncoder().encode(line).slice(0, Math.max(0, Number(match[2]) - 1));
  const before = lines.slice(0, row).reduce((sum, one) => sum + one.length + 1, 0);
  const from = Math.min(before + new TextDecoder().decode(bytes).length, query.length);
  const word = /^[\w:.]+/.exec(query.slice(from));
  return { from, to: Math.min(from + (word?.[0].length ?? 1), query.length) };
}
