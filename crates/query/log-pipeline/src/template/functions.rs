//! Functions of LogQL templates.

use std::cell::RefCell;

use novaobs_template::{Function, Functions, Time, Value};

use crate::template::TemplateRow;

thread_local! {
    /// The line and time of the row being rendered, for functions without arguments.
    static ROW: RefCell<(String, i64)> = const { RefCell::new((String::new(), 0)) };
}

/// Runs `render` with `__line__` and `__timestamp__` of this row.
pub(crate) fn with_row<T>(row: &TemplateRow<'_>, render: impl FnOnce() -> T) -> T {
    ROW.with_borrow_mut(|current| {
        row.line.clone_into(&mut current.0);
        current.1 = row.timestamp;
    });
    render()
}

/// All of them.
pub(crate) fn all() -> Functions {
    let mut all = Functions::new();
    all.set("__line__", Function::new(&[], |_| Ok(ROW.with_borrow(|row| Value::from(row.0.as_str())))));
    all.set(
        "__timestamp__",
        Function::new(&[], |_| Ok(Value::Time(Time::from_unix_ms(ROW.with_borrow(|row| row.1) / 1_000_000)))),
    );
    all
}
