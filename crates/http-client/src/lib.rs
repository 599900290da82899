//! The peers' http_config block: parsed, and turned into an HTTP client.
