// The fields that a line itself has, where it is JSON or logfmt.

export interface LineFields {
  kind: 'json' | 'logfmt';
  fields: [string, string][];
}

const most = 200;

/** Names of nested fields are joined as the stage `json` does it. */
function flatten(value: unknown, path: string, into: [string, string][]) {
  if (into.length >= most) return;
  if (value !== null && typeof value === 'object') {
    // The stage leaves arrays out.
    if (Array.isArray(value)) return;
    for (const [key, inner] of Object.entries(value)) {
      const part = key.replace(/[^a-zA-Z0-9_]/g, '_');
      flatten(inner, path ? `${path}_${part}` : part, into);
    }
    return;
  }
  if (path) into.push([path, value === null ? '' : String(value)]);
}

/** Reads a line as JSON; `undefined` where it is none. */
export function jsonOf(line: string): unknown {
  const trimmed = line.trim();
  if (!/^[[{]/.test(trimmed)) return undefined;
  try {
    return JSON.parse(trimmed);
  } catch {
    return undefined;
  }
}

export function lineFields(line: string): LineFields | undefined {
  const json = jsonOf(line);
  if (json !== undefined) {
    const fields: [string, string][] = [];
    flatten(json, '', fields);
    return fields.length > 0 ? { kind: 'json', fields } : undefined;
  }
  const fields: [string, string][] = [];
  for (const found of line.matchAll(/(?:^|\s)([a-zA-Z_][\w.-]*)=("(?:[^"\\]|\\.)*"|[^\s"]*)/g)) {
    const [, key = '', raw = ''] = found;
    let value = raw;
    if (raw.startsWith('"')) {
      try {
        value = JSON.parse(raw) as string;
      } catch {
        value = raw.slice(1, -1);
      }
    }
    fields.push([key.replace(/[^a-zA-Z0-9_]/g, '_'), value]);
    if (fields.length >= most) break;
  }
  return fields.length >= 2 ? { kind: 'logfmt', fields } : undefined;
}
