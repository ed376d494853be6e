//! Metrics for operators, as served by `GET /metrics`.
//!
//! Each part counts where things happen, and registers its own counters: a counter is an atomic. What can be computed
//! on request is computed then, by a [`Collector`], and not stored. Labels have few values, all known here: nothing
//! that a peer or a UI sends becomes one.
//!
//! [`Collector`]: prometheus_client::collector::Collector

mod process;

use std::fmt;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric as _};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

/// The text format of OpenMetrics 1.0, which Prometheus reads.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that is counted.
#[derive(Debug)]
pub(crate) struct Metrics(Registry);

impl Metrics {
    /// Metrics of the process itself. It counts as started now.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        process::register(&mut registry);
        Self(registry)
    }

    /// Adds a part's metrics. All its names begin with `prosed_`.
    pub(crate) fn with(mut self, register: impl FnOnce(&mut Registry)) -> Self {
        register(self.0.sub_registry_with_prefix("prosed"));
        self
    }

    /// The current values, in the format of [`CONTENT_TYPE`]. May wait for the disk.
    ///
    /// # Errors
    /// If a number cannot be written: a bug.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0)?;
        Ok(text)
    }
}

/// Writes a number that was just computed.
pub(crate) fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: impl EncodeGaugeValue,
) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
}
