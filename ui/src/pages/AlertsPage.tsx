/** Alerts: the alerting rules, the alerts the Alertmanager routes, and the silences. */
import { useState, type ReactNode } from 'react';
import type { Labels } from '../api/prometheus';
import { AlertRules } from '../panels/AlertRules';
import { RoutedAlerts, Silences } from '../panels/Notifications';
import { Notice, PageHead, Segments, type Choice } from '../panels/parts';
import { SilenceDialog } from '../panels/SilenceDialog';
import { navigate } from '../state/router';

type View = 'rules' | 'notifications' | 'silences';
const VIEWS: Choice<View>[] = [
  { value: 'rules', text: 'Rules' },
  { value: 'notifications', text: 'Alertmanager' },
  { value: 'silences', text: 'Silences' },
];

export default function AlertsPage({ search }: { search: string }): ReactNode {
  const asked = new URLSearchParams(search).get('view');
  const view = VIEWS.find(({ value }) => value === asked)?.value ?? 'rules';
  const [silencing, setSilencing] = useState<Labels>();
  const [created, setCreated] = useState<string[]>([]);
  const newest = created.at(-1);
  return (
    <>
      <PageHead title="Alerts">
        <Segments label="View" choices={VIEWS} value={view} onChange={(next) => navigate(next === 'rules' ? 'alerts' : `alerts?view=${next}`)} />
      </PageHead>
      {newest && (
        <Notice tone="good">
          Silence {newest} created.{' '}
          {view !== 'silences' && (
            <button type="button" className="textual" onClick={() => navigate('alerts?view=silences')}>
              Show silences
            </button>
          )}
        </Notice>
      )}
      {view === 'rules' && <AlertRules onSilence={setSilencing} />}
      {view === 'notifications' && <RoutedAlerts onSilence={setSilencing} changes={created.length} />}
      {view === 'silences' && <Silences onSilence={setSilencing} changes={created.length} />}
      {silencing && (
        <SilenceDialog
          labels={silencing}
          onClose={() => setSilencing(undefined)}
          onCreated={(id) => {
            setSilencing(undefined);
            setCreated([...created, id]);
          }}
        />
      )}
    </>
  );
}
