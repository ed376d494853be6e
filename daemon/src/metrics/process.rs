//! The process metrics that Prometheus expects, and the version of prosed.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use rustix::time::{ClockId, clock_gettime};

use super::gauge;

pub(super) fn register(registry: &mut Registry) {
    let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("prosed_build", "Which prosed this is", build);
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    registry.register_collector(Box::new(Process { started }));
}

/// Queries the system. What it does not provide is left out.
#[derive(Debug)]
struct Process {
    /// In seconds since the Unix epoch.
    started: f64,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (seconds, bytes) = (Some(&Unit::Seconds), Some(&Unit::Bytes));
        let to = &mut encoder;
        gauge(to, "process_start_time", "Start of the process since the Unix epoch.", seconds, self.started)?;
        if let Some(memory) = resident_memory() {
            gauge(to, "process_resident_memory", "Memory of the process in RAM.", bytes, memory)?;
        }
        if let Some(open) = open_files() {
            gauge(to, "process_open_fds", "File descriptors that are open.", None, open)?;
        }
        let used = ConstCounter::new(processor_time());
        let help = "Processor time spent, in user and system mode.";
        used.encode(encoder.encode_descriptor("process_cpu", help, seconds, used.metric_type())?)
    }
}

/// proc_pid_status(5): `VmRSS`, in KiB.
fn resident_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn open_files() -> Option<usize> {
    // One of them is open only for this.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1))
}

/// In seconds.
fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
