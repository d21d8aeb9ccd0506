// What the keys do.

import { Cross2Icon } from '@radix-ui/react-icons';
import { Dialog } from 'radix-ui';
import { keysNow } from './keys';
import { views } from './views';

/** Keys that the editors and lists handle themselves. */
const others: readonly [string, string][] = [
  ['Ctrl+Enter', 'Run the queries, from within an editor'],
  ['Ctrl+Space', 'Complete: metrics, labels, values, functions'],
  ['Esc', 'Leave the editor, close what is open'],
  ['Tab', 'Go on to the next control'],
];

export function Help(props: { open: boolean; onOpenChange: (open: boolean) => void }) {
  return (
    <Dialog.Root {...props}>
      <Dialog.Portal>
        <Dialog.Overlay className="overlay" />
        <Dialog.Content className="dialog" aria-describedby={undefined}>
          <div className="dialog-head">
            <Dialog.Title>Keys</Dialog.Title>
            <Dialog.Close className="icon-button" aria-label="Close">
              <Cross2Icon />
            </Dialog.Close>
          </div>
          <div className="help">
            {keysNow().map(({ title, keys }) => (
              <section key={title}>
                <h3>{title}</h3>
                <dl className="keys">
                  {keys.map((key) => (
                    <Row key={key.key} name={key.key} does={key.does} />
                  ))}
                </dl>
              </section>
            ))}
            <section>
              <h3>Go to</h3>
              <dl className="keys">
                {views.map((view) => (
                  <Row key={view.path} name={`g ${view.key}`} does={view.title} />
                ))}
              </dl>
            </section>
            <section>
              <h3>Editors</h3>
              <dl className="keys">
                {others.map(([name, does]) => (
                  <Row key={name} name={name} does={does} />
                ))}
              </dl>
            </section>
            <p className="muted">
              The address bar always has what you see: copy it to share a view. Queries, theme and
              time zone are kept in this browser only; nothing leaves the server.
            </p>
          </div>
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function Row({ name, does }: { name: string; does: string }) {
  const parts = name.replace('Mod', 'Ctrl').split(/[+ ]/);
  return (
    <div>
      <dt>
        {parts.map((part) => (
          <kbd key={part}>{part}</kbd>
        ))}
      </dt>
      <dd>{does}</dd>
    </div>
  );
}
