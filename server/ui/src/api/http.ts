// Calls of the server's API, and nothing else: every request goes below the page's own root.

/** The page's root, with a slash at its end. */
export const root =
  typeof document === 'undefined' ? new URL('http://localhost/') : new URL('.', document.baseURI);

/** A call that failed, with what the server said. */
export class ApiError extends Error {
  readonly status: number;
  readonly kind: string;

  constructor(status: number, kind: string, message: string) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.kind = kind;
  }
}

/** An answer with the notes about it. */
export interface Answer<T> {
  data: T;
  warnings: string[];
  infos: string[];
}

type Value = string | number | boolean | undefined | readonly string[];
export type Params = Record<string, Value>;

interface Envelope<T> {
  status: 'success' | 'error';
  data: T;
  error?: string;
  errorType?: string;
  warnings?: string[];
  infos?: string[];
}

export interface CallOptions {
  signal?: AbortSignal;
  method?: 'GET' | 'POST';
  headers?: Record<string, string>;
}

/** Writes parameters as a form has them; what is undefined is left out. */
export function form(params: Params): URLSearchParams {
  const written = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value === undefined) continue;
    const values = Array.isArray(value) ? value : [String(value)];
    for (const one of values) written.append(name, one);
  }
  return written;
}

/** Asks and returns the raw response, or throws what went wrong. */
export async function ask(path: string, params: Params, options: CallOptions): Promise<Response> {
  const url = new URL(path, root);
  const asked = form(params);
  const post = options.method === 'POST';
  if (!post) url.search = asked.toString();
  let response: Response;
  try {
    response = await fetch(url, {
      method: post ? 'POST' : 'GET',
      body: post ? asked : undefined,
      headers: { Accept: 'application/json', ...options.headers },
      signal: options.signal ?? null,
    });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError(0, 'network', 'The server does not answer. Is it running?');
  }
  if (response.ok) return response;
  throw await failure(response);
}

async function failure(response: Response): Promise<ApiError> {
  const text = await response.text();
  const status = response.status;
  if (status === 401)
    return new ApiError(status, 'denied', 'Wrong name or password: sign in again.');
  if (status === 403)
    return new ApiError(status, 'denied', text || 'This user may not look at this.');
  try {
    const told = JSON.parse(text) as Partial<Envelope<unknown>> & { message?: string };
    const message = told.error ?? told.message;
    if (message) return new ApiError(status, told.errorType ?? 'error', message);
  } catch {
    // Not JSON: the text is the message.
  }
  return new ApiError(status, 'error', text.trim() || `The server answered with ${status}.`);
}

/** Asks a call of the API that answers with an envelope. */
export async function call<T>(
  path: string,
  params: Params = {},
  options: CallOptions = {},
): Promise<Answer<T>> {
  const response = await ask(path, params, options);
  const told = (await response.json()) as Envelope<T>;
  return { data: told.data, warnings: told.warnings ?? [], infos: told.infos ?? [] };
}

/** Tells whether something ended because it was called off. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}

/** What went wrong, for people. */
export function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
