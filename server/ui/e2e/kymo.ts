// Starts the real server for a test, on a free port and in a folder of its own.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/** The program: built with `UI_DIST`, so that it has the page. */
const program = resolve(process.env.KYMO_BIN ?? '../../target/debug/kymo');

export interface Kymo {
  /** Where it is, with a slash at the end. */
  url: string;
  folder: string;
  stop: () => Promise<void>;
}

export interface Options {
  config?: (port: number, folder: string) => string;
  /** Files beside the configuration. */
  files?: Record<string, string>;
  args?: string[];
  /** Behind the address, such as `/some/prefix`. */
  prefix?: string;
  headers?: Record<string, string>;
}

export function freePort(): Promise<number> {
  return new Promise((done, failed) => {
    const server = createServer();
    server.on('error', failed);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => done(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

export async function startKymo(options: Options = {}): Promise<Kymo> {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'kymo-ui-'));
  for (const [name, content] of Object.entries(options.files ?? {})) {
    writeFileSync(join(folder, name), content);
  }
  const args = [
    `--web.listen-address=127.0.0.1:${port}`,
    `--storage.path=${join(folder, 'data')}`,
    ...(options.args ?? []),
  ];
  if (options.config) {
    writeFileSync(join(folder, 'prometheus.yml'), options.config(port, folder));
    args.push(`--config.file=${join(folder, 'prometheus.yml')}`);
  }
  const child = spawn(program, args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr?.on('data', (text: Buffer) => {
    said = (said + text.toString()).slice(-4000);
  });
  const url = `http://127.0.0.1:${port}${options.prefix ?? ''}/`;
  await ready(url, child, options.headers ?? {}, () => said);
  return {
    url,
    folder,
    stop: async () => {
      const gone = new Promise((done) => child.once('exit', done));
      child.kill('SIGTERM');
      await gone;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function ready(
  url: string,
  child: ChildProcess,
  headers: Record<string, string>,
  said: () => string,
) {
  const until = Date.now() + 60_000;
  while (Date.now() < until) {
    if (child.exitCode !== null) throw new Error(`${program} ended: ${said()}`);
    try {
      const answer = await fetch(`${url}-/ready`, { headers });
      if (answer.ok) return;
    } catch {
      // Not listening yet.
    }
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error(`${program} is not ready: ${said()}`);
}
