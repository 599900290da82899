//! The peers' HTTP APIs: JSON shapes and status codes live only here.
