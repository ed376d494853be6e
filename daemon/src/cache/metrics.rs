//! The metrics of the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};

/// Counts what the store thread does. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct CacheMetrics {
    rows: Arc<PathBuf>,
    images: Gauge,
    image_bytes: Gauge,
    writes: Counter,
    write_failures: Counter,
    flushes: Counter,
    flush_failures: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Part {
    part: &'static str,
}

impl CacheMetrics {
    pub(super) fn new(rows: PathBuf) -> Self {
        Self {
            rows: Arc::new(rows),
            images: Gauge::default(),
            image_bytes: Gauge::default(),
            writes: Counter::default(),
            write_failures: Counter::default(),
            flushes: Counter::default(),
            flush_failures: Counter::default(),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("cache_images", "Pictures in the cache", self.images.clone());
        registry.register("cache_writes", "Writes of sessions", self.writes.clone());
        let help = "Writes of sessions that could not be stored";
        registry.register("cache_write_failures", help, self.write_failures.clone());
        registry.register("cache_flushes", "Times that the cache was written out", self.flushes.clone());
        let help = "Times that the cache could not be written out";
        registry.register("cache_flush_failures", help, self.flush_failures.clone());
        registry.register_collector(Box::new(Size(self.clone())));
    }

    pub(super) fn image_added(&self, bytes: u64) {
        self.images.inc();
        self.image_bytes.inc_by(signed(bytes));
    }

    pub(super) fn thumbnail_added(&self, bytes: u64) {
        self.image_bytes.inc_by(signed(bytes));
    }

    pub(super) fn thumbnail_removed(&self, bytes: u64) {
        self.image_bytes.dec_by(signed(bytes));
    }

    pub(super) fn image_removed(&self, bytes: u64) {
        self.images.dec();
        self.image_bytes.dec_by(signed(bytes));
    }

    /// A write was applied, or failed.
    pub(super) fn written(&self, stored: bool) {
        self.writes.inc();
        self.write_failures.inc_by((!stored).into());
    }

    /// Everything was flushed, or that failed.
    pub(super) fn flushed(&self, written: bool) {
        self.flushes.inc();
        self.flush_failures.inc_by((!written).into());
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Measures how much of the disk we use.
#[derive(Debug)]
struct Size(CacheMetrics);

impl Collector for Size {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "Size of the cache on disk: what is known of people, and their pictures.";
        let mut family =
            encoder.encode_descriptor("cache_size", help, Some(&Unit::Bytes), MetricType::Gauge)?;
        for (part, bytes) in [("rows", size(&self.0.rows)), ("images", self.0.image_bytes.get())] {
            ConstGauge::new(bytes).encode(family.encode_family(&Part { part })?)?;
        }
        Ok(())
    }
}

/// Of all files in a folder: sled has a handful.
fn size(folder: &Path) -> i64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        Ok(metadata) => signed(metadata.len()),
        Err(_) => 0,
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use prosed_session::{ImageId, ImageType, OwnPresence, Ticket, Write};
    use sha1::{Digest as _, Sha1};
    use tokio::sync::mpsc;

    use super::super::{Share, Store, StoreAnswer};
    use super::*;
    use crate::registry::Registry as Accounts;

    /// The value of one metric in the output.
    fn told(store: &Store, name: &str) -> u64 {
        let mut registry = Registry::default();
        store.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let line =
            text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn writes_pictures_and_failures_are_counted() {
        let home = tempfile::tempdir().unwrap();
        let accounts = Accounts::open(&home.path().join("data")).unwrap();
        let folder = home.path().join("cache");
        let store = Store::open(&folder, accounts.clone()).unwrap();
        let me = "me@example.org".parse().unwrap();
        let image = |data: &'static [u8]| {
            let id = ImageId(Sha1::digest(data).into());
            Write::Image { id, kind: ImageType::Png, data: data.to_vec() }
        };
        let (receipts, mut received) = mpsc::unbounded_channel();
        let write = async |store: &Store, write: Write| {
            store.write(&me, vec![(write, Ticket(1))], &receipts, &Share::default()).await;
        };
        let is_stored = |answer: Option<StoreAnswer>| match answer {
            Some(StoreAnswer::Saved(all)) => all.iter().all(|(_, result)| result.is_ok()),
            other => panic!("{other:?}"),
        };
        for data in [&b"one"[..], b"twelve bytes", b"one"] {
            write(&store, image(data)).await;
            assert!(is_stored(received.recv().await));
        }
        assert_eq!((told(&store, "cache_images"), told(&store, "cache_writes_total")), (2, 3));
        assert_eq!(told(&store, r#"cache_size_bytes{part="images"}"#), 15);
        assert!(told(&store, r#"cache_size_bytes{part="rows"}"#) > 0);

        // Nothing can be written where there is a file instead of the folder.
        std::fs::remove_dir_all(folder.join("images")).unwrap();
        std::fs::write(folder.join("images"), "").unwrap();
        write(&store, image(b"nowhere to go")).await;
        assert!(!is_stored(received.recv().await));
        assert_eq!(told(&store, "cache_write_failures_total"), 1);
        std::fs::remove_file(folder.join("images")).unwrap();

        // A picture that turns out to be gone is no longer counted.
        assert!(store.image(ImageId(Sha1::digest(b"one").into())).await.is_none());
        write(&store, Write::OwnPresence(OwnPresence::default())).await;
        received.recv().await.unwrap();
        assert_eq!(told(&store, "cache_images"), 1);
        assert_eq!(told(&store, r#"cache_size_bytes{part="images"}"#), 12);
        store.shutdown().await;

        // What exists at the start is counted.
        std::fs::create_dir_all(folder.join("images/ab")).unwrap();
        std::fs::write(folder.join(format!("images/ab/{}.png", "ab".repeat(20))), "seven b").unwrap();
        let store = Store::open(&folder, accounts).unwrap();
        assert_eq!((told(&store, "cache_images"), told(&store, "cache_writes_total")), (1, 0));
        assert_eq!(told(&store, r#"cache_size_bytes{part="images"}"#), 7);
    }
}
