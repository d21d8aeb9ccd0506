// Where a query is wrong, as parsers say it.

/** What the server says is wrong, and where: line and column count from one. */
export interface Problem {
  message: string;
  line?: number;
  column?: number;
}

/** Reads the place that a parser's message names. */
export function problemOf(message: string): Problem {
  const prometheus = /(?:^|\s)(\d+):(\d+): parse error/.exec(message);
  const loki = /at line (\d+), col (\d+)/.exec(message);
  const found = prometheus ?? loki;
  return found ? { message, line: Number(found[1]), column: Number(found[2]) } : { message };
}
