import { expect, it } from 'vitest';
import { fileSelector, foundIn, type LogJob, lag, targetSelector } from './jobs';

const file = (path: string, lastError = '') => ({
  path,
  sizeBytes: 100,
  positionBytes: 60,
  readBytes: 60,
  lines: 3,
  lastError,
});

const jobs: LogJob[] = [
  {
    job: 'system',
    kind: 'file',
    targets: [{ path: '/var/log/*.log', labels: { job: 'varlogs' } }],
    droppedTargets: [{ discoveredLabels: { __path__: '/tmp/x' }, reason: 'dropped by rules' }],
    files: [file('/var/log/a.log'), file('/var/log/b.log', 'permission denied')],
  },
  {
    job: 'routers',
    kind: 'syslog',
    address: '127.0.0.1:1514',
    targets: [],
    droppedTargets: [],
    files: [],
  },
];

it('what is not stored yet is the lag, which is never negative', () => {
  expect(lag(file('a'))).toBe(40);
  // A compressed file is read beyond its size on disk, and one may have been cut.
  expect(lag({ ...file('a'), positionBytes: 200 })).toBe(0);
});

it('a search leaves what has all its words', () => {
  expect(foundIn(jobs, '  ', false)).toEqual(jobs);
  const [one, ...others] = foundIn(jobs, 'System B.LOG', false);
  expect(others).toEqual([]);
  expect(one?.files.map((one) => one.path)).toEqual(['/var/log/b.log']);
  expect(one?.targets).toEqual([]);
  expect(foundIn(jobs, 'job="varlogs"', false)[0]?.targets).toHaveLength(1);
  expect(foundIn(jobs, 'dropped by', false)[0]?.droppedTargets).toHaveLength(1);
  expect(foundIn(jobs, '1514', false).map((job) => job.job)).toEqual(['routers']);
  expect(foundIn(jobs, 'nothing', false)).toEqual([]);
});

it('with errors only, files are left that have one', () => {
  const found = foundIn(jobs, '', true);
  expect(found.map((job) => job.job)).toEqual(['system']);
  expect(found[0]?.files.map((one) => one.path)).toEqual(['/var/log/b.log']);
  expect(foundIn(jobs, 'a.log', true)).toEqual([]);
});

it('lines are found by labels that streams keep', () => {
  const labels = { job: 'a"b', __path__: '/x', empty: '' };
  expect(targetSelector({ path: '/x', labels })).toBe('{job="a\\"b"}');
  expect(targetSelector({ path: '/x', labels: { __path__: '/x' } })).toBeUndefined();
  expect(fileSelector(file('/var/log/a.log'))).toBe('{filename="/var/log/a.log"}');
});
