/** Annotations of a rule or an alert: text with its links, and the runbook as a link of its own. */
import type { ReactNode } from 'react';
import type { Labels } from '../api/prometheus';
import { Icon } from '../viz/icons';
import { LinkedText } from './parts';

const RUNBOOK = ['runbook_url', 'runbook'];

/** The runbook's address: of `runbook_url` or `runbook`, the first that is a web address without template text. */
export function runbookOf(annotations: Labels): string | undefined {
  return RUNBOOK.map((name) => annotations[name]?.trim() ?? '').find((value) => /^https?:\/\/[^\s{}]+$/.test(value));
}

export function RunbookLink({ annotations }: { annotations: Labels }): ReactNode {
  const url = runbookOf(annotations);
  if (!url) return null;
  return (
    <a className="runbook" href={url} target="_blank" rel="noreferrer">
      <Icon name="book" size={16} /> Runbook
    </a>
  );
}

export function Annotations({ annotations }: { annotations: Labels }): ReactNode {
  const shown = Object.entries(annotations).filter(([name, value]) => !(RUNBOOK.includes(name) && value.trim() === runbookOf(annotations)));
  if (shown.length === 0) return null;
  return (
    <dl className="annotations">
      {shown.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            <LinkedText text={value} />
          </dd>
        </div>
      ))}
    </dl>
  );
}
