//! The cache: what the server could send again, stored so that nobody has to wait for it.
//!
//! One thread owns it all, since sled is synchronous and benefits from batches. [`Store`] is the handle of that
//! thread. Rosters, people and features are rows ([`rows`]), images are files ([`images`]); what fails to open is set
//! aside ([`opening`]). The one [`Write`] that no server can return, our own presence, also goes through here, so
//! that all writes of a session keep their order and their answers, but it is stored in the [`Registry`].

mod forgetting;
mod images;
mod keeper;
mod metrics;
mod opening;
mod patience;
mod rows;
mod thumbnail;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jid::BareJid;
use prosed_session::{ImageId, ImageType, Query, Record, Snapshot, StoreFailed, Ticket, Write};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::files::{self, Lock};
use crate::registry::Registry;
pub(crate) use images::ThumbnailSize;
use keeper::{Job, Keeper};
use metrics::CacheMetrics;

/// Jobs waiting for the store thread. When the queue is full, callers wait, and with them their account's stream: a
/// server cannot fill our memory faster than our disk writes.
const QUEUE: usize = 64;
/// One account's share of it, in KiB: the largest picture, and other writes in the meantime.
const SHARE_KIB: u32 = 2048;
/// The least that a batch counts for, however small: at most eight batches of one account wait.
const JOB_KIB: u32 = 256;
/// Thumbnails made at the same time: each may take the memory of a picture of 16 megapixels.
const THUMBNAILS_AT_ONCE: usize = 2;

/// Why there is no cache at all, or why something was not erased.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// Exit code 3.
    #[error("the cache folder {} is in use by another prosed", _0.display())]
    InUse(PathBuf),
    /// Exit code 5.
    #[error("the cache {} can't be used: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// Exit code 5.
    #[error("the cache can't be used, not even a new one: {0}")]
    Unusable(String),
}

/// What the store answers to a session.
#[derive(Debug)]
pub(crate) enum StoreAnswer {
    /// What became of a batch of writes, in their order.
    Saved(Vec<(Ticket, Result<(), StoreFailed>)>),
    /// The answer to a read; `None` if there is no such record, or a damaged one.
    Found(Ticket, Result<Option<Record>, StoreFailed>),
}

/// A cheap handle of the store thread. The thread ends with [`Store::shutdown`] or with the last handle, after
/// writing everything.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    jobs: mpsc::Sender<Job>,
    images: PathBuf,
    thumbnails: Arc<Semaphore>,
    metrics: CacheMetrics,
}

impl Store {
    /// Opens the cache, or an empty one if necessary: a damaged one is set aside. Blocks, up to some twenty seconds
    /// at worst.
    ///
    /// # Errors
    /// The folder is in use, or the file system does not allow even an empty cache there.
    pub(crate) fn open(folder: &Path, registry: Registry) -> Result<Self, StoreError> {
        let io = |source| StoreError::Io { path: folder.to_owned(), source };
        files::private_folder(folder).map_err(io)?;
        // sled has its own lock, but we would mistake that for damage.
        let lock = Lock::take(&folder.join("lock")).map_err(io)?;
        let lock = lock.ok_or_else(|| StoreError::InUse(folder.to_owned()))?;
        files::sweep(folder).map_err(io)?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        let metrics = CacheMetrics::new(keeper::rows_folder(folder));
        let keeper = Keeper::open(folder, registry, lock, metrics.clone())?;
        let images = keeper::images_folder(folder);
        std::thread::Builder::new().name("cache".to_owned()).spawn(move || keeper.run(queue)).map_err(io)?;
        let thumbnails = Arc::new(Semaphore::new(THUMBNAILS_AT_ONCE));
        Ok(Self { jobs, images, thumbnails, metrics })
    }

    /// Adds the cache's metrics.
    pub(crate) fn register(&self, metrics: &mut prometheus_client::registry::Registry) {
        self.metrics.register(metrics);
    }

    /// Everything known about an account, including its presence; empty if nothing can be read. A session starts with
    /// it, and only then may write.
    pub(crate) async fn load(&self, account: &BareJid) -> Snapshot {
        let account = account.clone();
        self.ask(|reply| Job::Load { account, reply }).await.unwrap_or_default()
    }

    /// Queues writes, to be applied in order, each as a whole or not at all. Returns when they have their place in
    /// the queue; waits for one while the disk is behind.
    ///
    /// An account with more in flight than its [`Share`] waits, too: no other account's writes queue up behind those
    /// of an account that floods us, and the queue is bounded in bytes.
    ///
    /// Each ticket comes back through `answers`: from then on, reads find what was written. It is on disk within
    /// [`keeper::WRITE_BEHIND`]; our own presence is by then.
    pub(crate) async fn write(
        &self,
        account: &BareJid,
        batch: Vec<(Write, Ticket)>,
        answers: &mpsc::UnboundedSender<StoreAnswer>,
        share: &Share,
    ) {
        let room = share.take(batch.iter().map(|(write, _)| write.bytes()).sum()).await;
        let job = Job::Write { account: account.clone(), batch, answers: answers.clone(), room };
        if let Err(mpsc::error::SendError(job)) = self.jobs.send(job).await {
            job.refuse();
        }
    }

    /// Queues a read, behind all writes before it, as [`Store::write`] does. The answer comes through `answers`.
    pub(crate) async fn read(
        &self,
        account: &BareJid,
        query: Query,
        ticket: Ticket,
        answers: &mpsc::UnboundedSender<StoreAnswer>,
        share: &Share,
    ) {
        let room = share.take(0).await;
        let job = Job::Read { account: account.clone(), query, ticket, answers: answers.clone(), room };
        if let Err(mpsc::error::SendError(job)) = self.jobs.send(job).await {
            job.refuse();
        }
    }

    /// Erases everything known about an account, images only if no other account refers to them, and returns whether
    /// there was anything. Other accounts' writes go on in the meantime. On disk when this returns; no file contains
    /// any of its rows any more. The registry's entry is not erased here.
    ///
    /// # Errors
    /// Some of it may still be there.
    pub(crate) async fn forget(&self, account: &BareJid) -> Result<bool, StoreError> {
        let account = account.clone();
        let gone = || Err(StoreError::Unusable("it is shut".to_owned()));
        self.ask(|reply| Job::Forget { account, reply }).await.unwrap_or_else(gone)
    }

    /// An image by its id, verified against it.
    pub(crate) async fn image(&self, id: ImageId) -> Option<(ImageType, Vec<u8>)> {
        let folder = self.images.clone();
        // Files are complete or absent, so this need not wait in the queue.
        let found = tokio::task::spawn_blocking(move || images::read(&folder, id)).await.ok().flatten();
        if found.is_none() {
            let _ = self.jobs.send(Job::Discard { id }).await;
        }
        found
    }

    /// A thumbnail of an image: stored on first request, as long as the image is.
    pub(crate) async fn thumbnail(&self, id: ImageId, size: ThumbnailSize) -> Option<(ImageType, Vec<u8>)> {
        let folder = self.images.clone();
        let known = tokio::task::spawn_blocking(move || images::read_thumbnail(&folder, id, size)).await;
        if let Some(known) = known.ok().flatten() {
            return Some(known);
        }
        let turn = self.thumbnails.acquire().await.ok()?;
        let (kind, data) = self.image(id).await?;
        let made = tokio::task::spawn_blocking(move || thumbnail::make(kind, &data, size)).await.ok()?;
        drop(turn);
        let (kind, data) = made.inspect_err(|error| tracing::debug!(%error, "no thumbnail")).ok()?;
        let _ = self.jobs.send(Job::Thumbnail { id, size, kind, data: data.clone() }).await;
        Some((kind, data))
    }

    /// Waits until the store thread gets to this job.
    pub(crate) async fn answer(&self) {
        // Without an answer the thread has ended, and callers with requests know.
        let _ = self.ask(|reply| Job::Ping { reply }).await;
    }

    /// Waits until everything written is on disk. False: it is not.
    #[cfg(test)]
    pub(crate) async fn flush(&self) -> bool {
        self.ask(|reply| Job::Flush { reply }).await.unwrap_or(false)
    }

    /// Writes everything out and closes the cache, for all handles.
    pub(crate) async fn shutdown(&self) {
        let _ = self.ask(|reply| Job::Shutdown { reply }).await;
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).await.ok()?;
        answer.await.ok()
    }
}

/// What one account may have in flight to the store thread: [`SHARE_KIB`] of writes and reads.
#[derive(Debug, Clone)]
pub(crate) struct Share(Arc<Semaphore>);

impl Default for Share {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(SHARE_KIB as usize)))
    }
}

impl Share {
    /// Waits until there is room for this many bytes, and holds it until the returned permit is dropped.
    async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes / 1024).unwrap_or(u32::MAX).clamp(JOB_KIB, SHARE_KIB);
        // The semaphore is never closed.
        Arc::clone(&self.0).acquire_many_owned(kib).await.ok()
    }
}

#[cfg(test)]
mod tests;
