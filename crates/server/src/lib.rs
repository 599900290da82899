//! The binary novaobs: flags, composed config, wiring, reload, shutdown.
