/** The legend under a graph: one line per drawn series with its values; a click isolates, with Ctrl it toggles one. */
import { useMemo, useState, type MouseEvent, type ReactNode } from 'react';
import type { Theme } from '../state/settings';
import { countText, numberText } from '../viz/format';
import { summarize, type Frame, type Summary } from '../viz/frame';
import { seriesColour } from '../viz/palette';

interface Props {
  frame: Frame;
  hidden: ReadonlySet<string>;
  onHidden: (hidden: ReadonlySet<string>) => void;
  onFocus: (index: number | null) => void;
  theme: Theme;
}

const VALUES: (keyof Summary)[] = ['last', 'min', 'mean', 'max'];
type Order = { by: keyof Summary | 'name'; down: boolean } | undefined;

/** Isolates `key`; when it already is the only one shown, shows all again. */
export function isolate(keys: string[], hidden: ReadonlySet<string>, key: string): Set<string> {
  const alone = !hidden.has(key) && keys.every((other) => other === key || hidden.has(other));
  return new Set(alone ? [] : keys.filter((other) => other !== key));
}

export function Legend({ frame, hidden, onHidden, onFocus, theme }: Props): ReactNode {
  const [order, setOrder] = useState<Order>();
  const lines = useMemo(() => {
    const all = frame.columns.map((column, index) => ({ column, index, summary: summarize(column.values) }));
    if (!order) return all;
    const sign = order.down ? -1 : 1;
    const { by } = order;
    if (by === 'name') return all.sort((a, b) => sign * a.column.name.localeCompare(b.column.name));
    return all.sort((a, b) => sign * ((a.summary[by] ?? -Infinity) - (b.summary[by] ?? -Infinity)));
  }, [frame, order]);

  const click = (event: MouseEvent, key: string) => {
    const keys = frame.columns.map((column) => column.key);
    if (event.ctrlKey || event.metaKey) {
      const next = new Set(hidden);
      if (!next.delete(key)) next.add(key);
      onHidden(next);
    } else onHidden(isolate(keys, hidden, key));
  };
  const sortBy = (by: NonNullable<Order>['by']) =>
    setOrder((now) => (now?.by === by ? (now.down === (by !== 'name') ? { by, down: !now.down } : undefined) : { by, down: by !== 'name' }));
  const header = (by: NonNullable<Order>['by'], text: string) => (
    <th key={by} className={by === 'name' ? undefined : `number ${by}`} aria-sort={order?.by === by ? (order.down ? 'descending' : 'ascending') : 'none'}>
      <button type="button" className="sort" onClick={() => sortBy(by)}>
        {text}
        {order?.by === by && <span aria-hidden="true">{order.down ? ' ↓' : ' ↑'}</span>}
      </button>
    </th>
  );

  return (
    <div className="legend" onMouseLeave={() => onFocus(null)}>
      <table>
        <thead>
          <tr>
            {header('name', `${countText(frame.columns.length)} series`)}
            {VALUES.map((value) => header(value, value))}
          </tr>
        </thead>
        <tbody>
          {lines.map(({ column, index, summary }) => (
            <tr key={column.key} className={hidden.has(column.key) ? 'off' : undefined} onMouseEnter={() => onFocus(index)}>
              <td>
                <button type="button" className="legend-name" aria-pressed={!hidden.has(column.key)} title="Click: show only this series. Ctrl+click: switch it on or off." onClick={(event) => click(event, column.key)}>
                  <i className="swatch" style={{ background: seriesColour(index, theme) }} />
                  <span>{column.name}</span>
                </button>
              </td>
              {VALUES.map((value) => (
                <td key={value} className={`number ${value}`}>
                  {numberText(summary[value])}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
