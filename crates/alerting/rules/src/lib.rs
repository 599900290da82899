//! Rule groups on a clock: expressions to recorded series and alerts.
