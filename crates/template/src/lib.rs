//! Go templates as Prometheus and Alertmanager write them.
