//! Configuration files: YAML with positions, errors that name file:line:column, durations, sizes, secrets.
