// Shows rules over metrics and over logs once both have come, or why one has not.

import type { ReactNode } from 'react';
import { Shown } from '../../kit/page';
import { Empty } from '../../kit/states';
import { type AllGroups, type GroupOver, joined } from './groups';

export function BothKinds(props: {
  of: AllGroups;
  what: string;
  children: (groups: GroupOver[]) => ReactNode;
}) {
  const { of, what, children } = props;
  return (
    <Shown of={of.metrics} what={what}>
      {(metrics) => (
        <Shown of={of.logs} what={`${what} over logs`}>
          {(logs) => children(joined(metrics.groups, logs.groups))}
        </Shown>
      )}
    </Shown>
  );
}

export function NoRules({ title }: { title: string }) {
  return (
    <Empty title={title}>
      <p>
        They are in the files that the configuration names: <code>rule_files</code> over metrics,{' '}
        <code>log_rule_files</code> over logs.
      </p>
    </Empty>
  );
}
