//! The store thread: applies what is queued, then writes it out once.

use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jid::BareJid;
use prosed_session::{ImageId, ImageType, Snapshot, Ticket, Write};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;

use super::StoreError;
use super::forgetting::{Forgetting, Forgotten};
use super::images::{Images, ThumbnailSize};
use super::metrics::CacheMetrics;
use super::opening::{self, open_or_renew, within};
use super::rows::{Rows, RowsError};
use crate::files::Lock;
use crate::registry::Registry;

/// How long a write without a ticket may stay in memory. What `kill -9` then takes, the server
/// gives again.
pub(super) const WRITE_BEHIND: Duration = Duration::from_secs(2);

/// Pictures that an account no longer needs, before we check whether another does: that takes a look at
/// everybody.
pub(super) const UNUSED: usize = 64;

/// Bytes of them. So a contact who changes their picture all the time has this on disk, and beside it the one
/// that is shown and the one that has just come, of 1 MiB each.
pub(super) const UNUSED_BYTES: u64 = 4 * 1024 * 1024;

/// How long a cache that failed may take to close; everybody's writes wait for it.
pub(super) const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// How long a cache that failed is left alone before it is opened again.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

pub(super) enum Job {
    Load {
        account: BareJid,
        reply: oneshot::Sender<Snapshot>,
    },
    Write {
        account: BareJid,
        batch: Vec<(Write, Option<Ticket>)>,
        receipts: mpsc::UnboundedSender<(Ticket, bool)>,
        /// Its place in its account's share, until it is done.
        room: Option<OwnedSemaphorePermit>,
    },
    Forget {
        account: BareJid,
        reply: oneshot::Sender<Result<bool, StoreError>>,
    },
    /// A thumbnail was made of an image.
    Thumbnail {
        id: ImageId,
        size: ThumbnailSize,
        kind: ImageType,
        data: Vec<u8>,
    },
    /// The image could not be read, or is not what its name says.
    Discard {
        id: ImageId,
    },
    /// The thread has time for it: that is all.
    Ping {
        reply: oneshot::Sender<()>,
    },
    #[cfg(test)]
    Flush {
        reply: oneshot::Sender<bool>,
    },
    Shutdown {
        reply: oneshot::Sender<()>,
    },
    #[cfg(test)]
    Test(Box<dyn FnOnce(&mut Keeper) + Send>),
}

pub(super) struct Keeper {
    pub(super) rows_folder: PathBuf,
    /// Absent: they failed, and are to be opened again.
    pub(super) rows: Option<Rows>,
    /// When that was.
    pub(super) failed_at: Option<Instant>,
    /// Accounts whose stored roster is all that their session has said of it. Not so after a
    /// write was lost: a later version on top of the gap would hide it for ever.
    pub(super) sound: HashSet<BareJid>,
    pub(super) images: Images,
    /// Pictures that their owners have replaced, fewer than [`UNUSED`].
    pub(super) unused: HashSet<ImageId>,
    /// The forgetting that is under way, and those that come after it.
    pub(super) forgetting: Option<Forgetting>,
    pub(super) to_forget: VecDeque<(BareJid, Forgotten)>,
    pub(super) registry: Registry,
    metrics: CacheMetrics,
    /// Something is not on disk yet.
    pub(super) dirty: bool,
    _lock: Lock,
}

/// A receipt that is owed: to whom, which, and whether the write went well so far.
type Owed = (mpsc::UnboundedSender<(Ticket, bool)>, Ticket, bool);

pub(super) fn rows_folder(folder: &Path) -> PathBuf {
    folder.join("rows")
}

pub(super) fn images_folder(folder: &Path) -> PathBuf {
    folder.join("images")
}

impl Keeper {
    pub(super) fn open(
        folder: &Path,
        registry: Registry,
        lock: Lock,
        metrics: CacheMetrics,
    ) -> Result<Self, StoreError> {
        let rows_folder = rows_folder(folder);
        opening::settle(&rows_folder)
            .map_err(|source| StoreError::Io { path: rows_folder.clone(), source })?;
        let images_folder = images_folder(folder);
        let (rows, images) = std::thread::scope(|scope| {
            // Beside each other: with thousands of contacts both take their time.
            let images = scope.spawn(|| Images::open(images_folder.clone(), metrics.clone()));
            let rows = open_or_renew(&rows_folder, opening::DEADLINE, Rows::open);
            (rows, images.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        let (rows, wanted) = rows?;
        let mut images = images.map_err(|source| StoreError::Io { path: images_folder, source })?;
        // What a crash, or a cache that was set aside, has left behind goes. Only now is no image on its
        // way to the person whose it is. A cache that was just renewed will soon refer to its images again.
        if !wanted.is_empty()
            && let Err(error) = images.sweep(&wanted)
        {
            tracing::warn!(%error, "images that nobody needs can't be removed");
        }
        Ok(Self {
            rows_folder,
            rows: Some(rows),
            failed_at: None,
            sound: HashSet::new(),
            images,
            unused: HashSet::new(),
            forgetting: None,
            to_forget: VecDeque::new(),
            registry,
            metrics,
            dirty: false,
            _lock: lock,
        })
    }

    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        // The thread has no other way to wait for a job or a moment, whichever comes first.
        let timer = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "the cache can't run"),
        };
        let mut owed: Vec<Owed> = Vec::new();
        let mut closing = None;
        let mut write_out_at = None;
        while closing.is_none() {
            // A forgetting goes on as soon as nobody else wants anything, and after each round of those who do.
            let moment = if self.is_forgetting() { Some(Instant::now()) } else { write_out_at };
            let next = timer.block_on(async {
                match moment {
                    Some(moment) => tokio::time::timeout_at(moment, queue.recv()).await.map_err(drop),
                    None => Ok(queue.recv().await),
                }
            });
            match next {
                Ok(Some(job)) => {
                    closing = self.handle(job, &mut owed);
                    // No more than the queue holds, so that a busy session delays no receipt for long.
                    for _ in 0..super::QUEUE {
                        if closing.is_some() {
                            break;
                        }
                        let Ok(job) = queue.try_recv() else { break };
                        closing = self.handle(job, &mut owed);
                    }
                    if !owed.is_empty() {
                        self.settle(&mut owed);
                    }
                }
                Ok(None) => break,
                Err(()) if write_out_at.is_some_and(|moment| moment <= Instant::now()) => {
                    self.write_out();
                }
                Err(()) => {}
            }
            self.go_on_forgetting();
            write_out_at = match (self.dirty, write_out_at) {
                (false, _) => None,
                (true, None) => Some(Instant::now() + WRITE_BEHIND),
                (true, later) => later,
            };
        }
        self.write_out();
        // Whoever came too late learns it.
        queue.close();
        while let Ok(job) = queue.try_recv() {
            if let Job::Write { batch, receipts, .. } = job {
                super::refuse(batch, &receipts);
            }
        }
        // Whoever waits for us may open the cache again.
        drop(self);
        if let Some(reply) = closing {
            let _ = reply.send(());
        }
    }

    /// Returns whom to tell that it is over, when it is.
    fn handle(&mut self, job: Job, owed: &mut Vec<Owed>) -> Option<oneshot::Sender<()>> {
        // A reply that nobody waits for any more is lost, and that is fine.
        match job {
            Job::Load { account, reply } => drop(reply.send(self.load(account))),
            Job::Write { account, batch, receipts, room } => {
                for (write, ticket) in batch {
                    let is_image = matches!(write, Write::Image { .. });
                    let stored = self.apply(&account, write);
                    match ticket {
                        // It is there to be shown, and the server can give it again.
                        Some(ticket) if is_image => drop(receipts.send((ticket, stored))),
                        Some(ticket) => owed.push((receipts.clone(), ticket, stored)),
                        None => {}
                    }
                }
                drop(room);
            }
            Job::Forget { account, reply } => self.to_forget.push_back((account, reply)),
            Job::Thumbnail { id, size, kind, data } => {
                if let Err(error) = self.images.write_thumbnail(id, size, kind, &data) {
                    tracing::warn!(%error, "a thumbnail can't be kept");
                }
            }
            Job::Discard { id } => {
                if let Err(error) = self.images.remove(id) {
                    tracing::warn!(%error, "a damaged image can't be removed");
                }
            }
            Job::Ping { reply } => drop(reply.send(())),
            #[cfg(test)]
            Job::Flush { reply } => drop(reply.send(self.write_out())),
            Job::Shutdown { reply } => return Some(reply),
            #[cfg(test)]
            Job::Test(work) => work(self),
        }
        None
    }

    fn load(&mut self, account: BareJid) -> Snapshot {
        let loaded = self.on_rows(|rows| rows.load(&account));
        let presence = self.registry.entry(&account).unwrap_or_default().presence;
        match loaded {
            Ok(snapshot) => {
                self.sound.insert(account);
                let ids = snapshot
                    .people
                    .iter()
                    .filter_map(|(_, person)| Some(person.avatar.as_ref()?.as_ref()?.id));
                let images = ids.filter(|id| self.images.contains(*id)).collect();
                Snapshot { images, presence, ..snapshot }
            }
            Err(error) => {
                self.sound.remove(&account);
                tracing::warn!(%error, "the cache can't be read: everything is loaded from the server");
                Snapshot { presence, ..Snapshot::default() }
            }
        }
    }

    /// Returns whether it went well.
    pub(super) fn apply(&mut self, account: &BareJid, write: Write) -> bool {
        let result = match &write {
            Write::Image { id, kind, data } => {
                self.unused.remove(id);
                if !self.images.has_room(data.len()) {
                    self.remove_unused();
                }
                if !self.images.has_room(data.len())
                    && let Err(error) = self.images.remove_thumbnails()
                {
                    tracing::warn!(%error, "thumbnails can't be removed");
                }
                self.images.write(*id, *kind, data).map_err(RowsError::Disk)
            }
            Write::ImageUnused { id } => {
                self.set_aside(*id);
                Ok(())
            }
            // On disk at once.
            Write::OwnPresence(presence) => {
                self.registry.set_presence(account, presence).map_err(RowsError::Disk)
            }
            Write::Roster { .. }
            | Write::Person { .. }
            | Write::LastSeen(_)
            | Write::Caps { .. }
            | Write::SubscriptionRequest { .. } => {
                let sound = self.sound.contains(account);
                let applied = self.on_rows(|rows| rows.apply(account, &write, sound));
                applied.map(|change| self.follow(account, &change, &write))
            }
        };
        self.dirty |=
            !matches!(write, Write::OwnPresence(_) | Write::Image { .. } | Write::ImageUnused { .. });
        if let Write::Roster { replace, .. } = &write {
            if result.is_err() {
                self.sound.remove(account);
            } else if *replace {
                self.sound.insert(account.clone());
            }
        }
        self.metrics.written(result.is_ok());
        if let Err(error) = &result {
            tracing::warn!(%error, %account, "something could not be stored");
        }
        result.is_ok()
    }

    /// A picture may be nobody's any more.
    fn set_aside(&mut self, id: ImageId) {
        self.unused.insert(id);
        let bytes: u64 = self.unused.iter().map(|id| self.images.bytes_of(*id)).sum();
        if self.unused.len() >= UNUSED || bytes > UNUSED_BYTES {
            self.remove_unused();
        }
    }

    /// Removes what was set aside and is nobody's.
    fn remove_unused(&mut self) {
        let unused = std::mem::take(&mut self.unused);
        let removed = self.on_rows(Rows::avatars).and_then(|needed| {
            unused.difference(&needed).try_for_each(|id| self.images.remove(*id)).map_err(RowsError::Disk)
        });
        if let Err(error) = removed {
            // The next start sweeps.
            tracing::warn!(%error, "images that nobody needs can't be removed");
        }
    }

    /// Writes out, once for all, and gives the receipts.
    fn settle(&mut self, owed: &mut Vec<Owed>) {
        let written = self.write_out();
        for (receipts, ticket, stored) in owed.drain(..) {
            // A session that is gone wants no receipt.
            let _ = receipts.send((ticket, stored && written));
        }
    }

    /// Returns whether all is on disk.
    fn write_out(&mut self) -> bool {
        if !self.dirty {
            return true;
        }
        let rows = self.on_rows(Rows::flush);
        // Not tried again: what failed is lost, and has been said to be.
        self.dirty = false;
        self.metrics.flushed(rows.is_ok());
        if let Err(error) = &rows {
            tracing::warn!(%error, "the cache could not be written out");
        }
        rows.is_ok()
    }

    /// Does something with the rows. When that fails, they are closed, and opened again by the
    /// first who comes a while later: sled, once failed, fails for ever.
    pub(super) fn on_rows<T>(
        &mut self,
        work: impl FnOnce(&Rows) -> Result<T, RowsError>,
    ) -> Result<T, RowsError> {
        let rows = match self.rows.take() {
            Some(rows) => rows,
            None => self.reopen()?,
        };
        let result = catch_unwind(AssertUnwindSafe(|| work(&rows)))
            .unwrap_or_else(|_| Err(RowsError::Damaged("it panicked".to_owned())));
        match result {
            Ok(_) | Err(RowsError::NoRoster) => self.rows = Some(rows),
            Err(_) => {
                // What was not flushed goes with it, of all accounts; and so does what was to be copied.
                self.sound.clear();
                self.give_up_forgetting();
                // Closing can fail in as many ways as opening. If it hangs (on a full disk it
                // does), the folder stays locked and is set aside when it is opened again.
                let _ = within(CLOSE_WITHIN, move |_| drop(rows));
                self.failed_at = Some(Instant::now());
            }
        }
        result
    }

    pub(super) fn reopen(&mut self) -> Result<Rows, RowsError> {
        if self.failed_at.is_some_and(|moment| moment.elapsed() < REOPEN_AFTER) {
            return Err(RowsError::Damaged("it failed a moment ago".to_owned()));
        }
        self.failed_at = Some(Instant::now());
        open_or_renew(&self.rows_folder, opening::DEADLINE, Rows::open)
            .map(|(rows, _)| rows)
            .map_err(|error| RowsError::Damaged(error.to_string()))
    }
}
