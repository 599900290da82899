/** The PromQL editor: highlighting, completion of metrics, labels, values and functions, and marked errors. Loaded with its own chunk. */
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands';
import { bracketMatching, HighlightStyle, syntaxHighlighting } from '@codemirror/language';
import { lintKeymap, setDiagnostics } from '@codemirror/lint';
import { EditorState, Prec, type Extension } from '@codemirror/state';
import { EditorView, keymap, placeholder } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { PromQLExtension } from '@prometheus-io/codemirror-promql';
import { useEffect, useRef, type ReactNode } from 'react';
import { config } from '../api/config';
import { errorPlace } from './errorPosition';

interface Props {
  value: string;
  label: string;
  /** What the server said about the last run, with its position if it named one. */
  error: string | undefined;
  onChange: (value: string) => void;
  onRun: () => void;
}

const colours = HighlightStyle.define([
  { tag: tags.variableName, color: 'var(--text)' },
  { tag: tags.labelName, color: 'var(--code-label)' },
  { tag: tags.string, color: 'var(--code-string)' },
  { tag: [tags.number, tags.integer, tags.float], color: 'var(--code-number)' },
  { tag: [tags.keyword, tags.function(tags.variableName), tags.operatorKeyword], color: 'var(--code-keyword)' },
  { tag: [tags.modifier, tags.logicOperator, tags.arithmeticOperator, tags.compareOperator], color: 'var(--code-operator)' },
  { tag: tags.comment, color: 'var(--muted)', fontStyle: 'italic' },
  { tag: tags.invalid, color: 'var(--bad)' },
]);

function promql(): { language: PromQLExtension; extension: Extension } {
  const language = new PromQLExtension()
    .activateCompletion(true)
    .activateLinter(true)
    .setComplete({
      remote: {
        url: config.prometheusUrl,
        httpMethod: 'GET',
        // Completion is a help: when the server does not answer, the page says so elsewhere.
        httpErrorHandler: () => undefined,
      },
    });
  return { language, extension: language.asExtension() };
}

export default function PromqlEditor({ value, label, error, onChange, onRun }: Props): ReactNode {
  const parent = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(null);
  const handlers = useRef({ onChange, onRun });
  handlers.current = { onChange, onRun };
  const initial = useRef({ value, label });

  useEffect(() => {
    if (!parent.current) return;
    const { language, extension } = promql();
    const run = () => {
      handlers.current.onRun();
      return true;
    };
    const editor = new EditorView({
      parent: parent.current,
      state: EditorState.create({
        doc: initial.current.value,
        extensions: [
          history(),
          bracketMatching(),
          closeBrackets(),
          autocompletion({ icons: false }),
          syntaxHighlighting(colours),
          extension,
          EditorView.lineWrapping,
          EditorView.contentAttributes.of({ 'aria-label': initial.current.label }),
          placeholder('PromQL, for example: rate(http_requests_total[5m])'),
          Prec.highest(
            keymap.of([
              { key: 'Shift-Enter', run },
              { key: 'Mod-Enter', run },
              { key: 'Ctrl-Enter', run },
            ]),
          ),
          keymap.of([...closeBracketsKeymap, ...completionKeymap, ...lintKeymap, ...historyKeymap, ...defaultKeymap]),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) handlers.current.onChange(update.state.doc.toString());
          }),
        ],
      }),
    });
    view.current = editor;
    return () => {
      editor.destroy();
      language.destroy();
      view.current = null;
    };
  }, []);

  useEffect(() => {
    const editor = view.current;
    if (editor && editor.state.doc.toString() !== value) {
      editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: value } });
    }
  }, [value]);

  useEffect(() => {
    const editor = view.current;
    if (!editor || error === undefined) return;
    const place = errorPlace(error, editor.state.doc.toString());
    if (place) editor.dispatch(setDiagnostics(editor.state, [{ ...place, severity: 'error', message: error }]));
  }, [error]);

  return <div className="promql" ref={parent} data-testid="promql" />;
}
