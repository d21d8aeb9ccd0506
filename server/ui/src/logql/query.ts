// What a LogQL query is made of, and how filters are added to one.

import { parser } from '@grafana/lezer-logql';

/** Tells whether a query gives samples and no lines. */
export function isMetricQuery(query: string): boolean {
  const cursor = parser.parse(query).cursor();
  do {
    if (cursor.name === 'MetricExpr') return true;
    if (cursor.name === 'LogExpr') return false;
  } while (cursor.next());
  return false;
}

/** What is searched for in lines: texts, and regular expressions. */
export interface Needle {
  text: string;
  regex: boolean;
}

/** Reads a string of LogQL's, in quotes or backticks. */
export function unquote(literal: string): string {
  if (literal.startsWith('`')) return literal.slice(1, -1);
  try {
    return JSON.parse(literal) as string;
  } catch {
    return literal.slice(1, -1);
  }
}

/** What a query's line filters look for. */
export function needles(query: string): Needle[] {
  const found: Needle[] = [];
  const cursor = parser.parse(query).cursor();
  do {
    if (cursor.name !== 'LineFilter') continue;
    const text = query.slice(cursor.from, cursor.to).trim();
    const kind = /^\|\s*([=~])/.exec(text)?.[1];
    if (!kind || /^\|[=~]\s*ip\s*\(/.test(text)) continue;
    for (const [literal] of text.matchAll(/"(?:[^"\\]|\\.)*"|`[^`]*`/g)) {
      const needle = unquote(literal);
      if (needle !== '') found.push({ text: needle, regex: kind === '~' });
    }
  } while (cursor.next());
  return found;
}

/** One expression that finds all needles; `undefined` where there are none. */
export function needleRegex(all: readonly Needle[]): RegExp | undefined {
  const parts: string[] = [];
  let ignoreCase = false;
  for (const { text, regex } of all) {
    if (!regex) {
      parts.push(text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
      continue;
    }
    const plain = text.replace(/^\(\?i\)/, '');
    ignoreCase ||= plain !== text;
    try {
      new RegExp(plain);
      parts.push(`(?:${plain})`);
    } catch {
      // Go's expressions know more than the browser's: such a one is not highlighted.
    }
  }
  return parts.length > 0 ? new RegExp(parts.join('|'), ignoreCase ? 'gi' : 'g') : undefined;
}

/** Where the first selector of a query is. */
function selectorAt(query: string): { from: number; to: number } | undefined {
  const cursor = parser.parse(query).cursor();
  do {
    if (cursor.name === 'Selector') return { from: cursor.from, to: cursor.to };
  } while (cursor.next());
  return undefined;
}

/** The first selector of a query, such as `{app="a"}`. */
export function selectorOf(query: string): string | undefined {
  const at = selectorAt(query);
  return at && query.slice(at.from, at.to);
}

export type FilterSide = 'in' | 'out';

const name = (text: string) =>
  /^[a-zA-Z_][a-zA-Z0-9_]*$/.test(text) ? text : JSON.stringify(text);

/** Adds a condition on a label of streams to the selector. */
export function withMatcher(query: string, label: string, value: string, side: FilterSide): string {
  const at = selectorAt(query);
  const matcher = `${name(label)}${side === 'in' ? '=' : '!='}${JSON.stringify(value)}`;
  if (!at) return `{${matcher}}`;
  const inner = query
    .slice(at.from + 1, at.to - 1)
    .replace(/,\s*$/, '')
    .trim();
  if (inner.split(/,\s*/).includes(matcher)) return query;
  const selector = `{${inner}${inner ? ', ' : ''}${matcher}}`;
  return query.slice(0, at.from) + selector + query.slice(at.to);
}

/** Adds a condition on a field behind all stages; where the line has to be parsed first, that too. */
export function withField(
  query: string,
  field: string,
  value: string,
  side: FilterSide,
  parse?: 'json' | 'logfmt',
): string {
  const parses = parse && !new RegExp(`\\|\\s*${parse}\\b`).test(query) ? ` | ${parse}` : '';
  const filter = ` | ${name(field)}${side === 'in' ? '=' : '!='}${JSON.stringify(value)}`;
  if (query.endsWith(filter)) return query;
  return query.trimEnd() + parses + filter;
}

/** Adds a text that lines must have. */
export function withNeedle(query: string, text: string): string {
  return `${query.trimEnd()} |= ${JSON.stringify(text)}`;
}

/** A selector of exactly one stream. */
export function streamSelector(labels: Record<string, string>): string {
  const pairs = Object.entries(labels).map(
    ([key, value]) => `${name(key)}=${JSON.stringify(value)}`,
  );
  return `{${pairs.join(', ')}}`;
}

/** A selector of as many streams as one label can name. */
export function broadSelector(labels: readonly string[]): string {
  const usual = ['service_name', 'job', 'app', 'namespace', 'host'];
  const label = usual.find((one) => labels.includes(one)) ?? labels[0] ?? 'service_name';
  return `{${name(label)}=~".+"}`;
}

/** Fields that name a trace or a request. */
export function isIdField(field: string): boolean {
  return /^(trace|span|request|req|correlation|session)[._-]?id$/i.test(field);
}
