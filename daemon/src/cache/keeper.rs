//! The store thread: applies what is queued, then flushes once.

use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jid::BareJid;
use prosed_session::{ImageId, ImageType, Query, Record, Snapshot, StoreFailed, Ticket, Write};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;

use super::forgetting::{Forgetting, Forgotten};
use super::images::{Images, ThumbnailSize};
use super::metrics::CacheMetrics;
use super::opening::{self, close, open_or_renew};
use super::patience::Patience;
use super::rows::{Rows, RowsError};
use super::{StoreAnswer, StoreError};
use crate::files::Lock;
use crate::registry::Registry;

/// How long a write to the rows may stay in memory. The server sends again what `kill -9` then loses.
pub(super) const WRITE_BEHIND: Duration = Duration::from_secs(2);

/// Pictures that an account no longer needs, before checking other accounts: that reads every record.
pub(super) const UNUSED: usize = 64;

/// Bytes of them. This is what a contact who keeps changing their picture can have on disk, plus the one shown and
/// the newest, of 1 MiB each.
pub(super) const UNUSED_BYTES: u64 = 4 * 1024 * 1024;

/// How long to wait before reopening a failed cache.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

pub(super) enum Job {
    Load {
        account: BareJid,
        reply: oneshot::Sender<Snapshot>,
    },
    Write {
        account: BareJid,
        batch: Vec<(Write, Ticket)>,
        answers: mpsc::UnboundedSender<StoreAnswer>,
        /// Its place in its account's share, held until it is done.
        room: Option<OwnedSemaphorePermit>,
    },
    Read {
        account: BareJid,
        query: Query,
        ticket: Ticket,
        answers: mpsc::UnboundedSender<StoreAnswer>,
        room: Option<OwnedSemaphorePermit>,
    },
    Forget {
        account: BareJid,
        reply: oneshot::Sender<Result<bool, StoreError>>,
    },
    /// A thumbnail of an image was made.
    Thumbnail {
        id: ImageId,
        size: ThumbnailSize,
        kind: ImageType,
        data: Vec<u8>,
    },
    /// The image could not be read, or does not match its name.
    Discard {
        id: ImageId,
    },
    /// Only shows that the thread is alive.
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
    /// Absent: they failed, and must be reopened.
    pub(super) rows: Option<Rows>,
    /// When they failed.
    pub(super) failed_at: Option<Instant>,
    /// Accounts whose stored roster has everything from their session. Not so after a write was lost: a later version
    /// on top of the gap would hide it permanently.
    pub(super) sound: HashSet<BareJid>,
    pub(super) images: Images,
    /// Pictures that their owners have replaced, fewer than [`UNUSED`].
    pub(super) unused: HashSet<ImageId>,
    /// The forgetting in progress, and those after it.
    pub(super) forgetting: Option<Forgetting>,
    pub(super) to_forget: VecDeque<(BareJid, Forgotten)>,
    pub(super) registry: Registry,
    metrics: CacheMetrics,
    /// Something is not on disk yet.
    pub(super) dirty: bool,
    _lock: Lock,
}

impl Job {
    /// It came too late: the store is shut. A session that is gone needs no answer.
    pub(super) fn refuse(self) {
        match self {
            Self::Write { batch, answers, .. } => {
                let all = batch.into_iter().map(|(_, ticket)| (ticket, Err(StoreFailed))).collect();
                let _ = answers.send(StoreAnswer::Saved(all));
            }
            Self::Read { ticket, answers, .. } => {
                let _ = answers.send(StoreAnswer::Found(ticket, Err(StoreFailed)));
            }
            // The others' callers notice when the reply's sender is dropped.
            _ => {}
        }
    }
}

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
            // In parallel: with thousands of contacts, each is slow.
            let images = scope.spawn(|| Images::open(images_folder.clone(), metrics.clone()));
            let rows = open_or_renew(&rows_folder, opening::DEADLINE, Rows::open);
            (rows, images.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        let (rows, wanted) = rows?;
        let mut images = images.map_err(|source| StoreError::Io { path: images_folder, source })?;
        // Removes what a crash, or a cache set aside, has left behind. Only at this point is no image on its way to
        // its owner's record. A cache that was just replaced will soon refer to its images again.
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
        // The thread cannot otherwise wait for a job or a time, whichever comes first.
        let timer = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "the cache can't run"),
        };
        let mut closing = None;
        let mut write_out_at = None;
        while closing.is_none() {
            // A forgetting continues when the queue is empty, and after each round of jobs.
            let moment = if self.is_forgetting() { Some(Instant::now()) } else { write_out_at };
            let next = timer.block_on(async {
                match moment {
                    Some(moment) => tokio::time::timeout_at(moment, queue.recv()).await.map_err(drop),
                    None => Ok(queue.recv().await),
                }
            });
            match next {
                Ok(Some(job)) => {
                    closing = self.handle(job);
                    // At most what the queue holds, so that a busy session delays no flush for long.
                    for _ in 0..super::QUEUE {
                        if closing.is_some() {
                            break;
                        }
                        let Ok(job) = queue.try_recv() else { break };
                        closing = self.handle(job);
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
        // Jobs that came too late are told so.
        queue.close();
        while let Ok(job) = queue.try_recv() {
            job.refuse();
        }
        // The waiting caller may reopen the cache.
        drop(self);
        if let Some(reply) = closing {
            let _ = reply.send(());
        }
    }

    /// Returns whom to notify at the end, if this is the end.
    fn handle(&mut self, job: Job) -> Option<oneshot::Sender<()>> {
        // If nobody waits for the reply any more, it is dropped.
        match job {
            Job::Load { account, reply } => drop(reply.send(self.load(account))),
            Job::Write { account, batch, answers, room } => {
                let saved = batch.into_iter().map(|(write, ticket)| (ticket, self.apply(&account, write)));
                drop(answers.send(StoreAnswer::Saved(saved.collect())));
                drop(room);
            }
            Job::Read { account, query, ticket, answers, room } => {
                drop(answers.send(StoreAnswer::Found(ticket, self.read(&account, &query))));
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
                let ids = snapshot.people.iter().filter_map(|(_, person)| Some(person.avatar.present()?.id));
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

    fn read(&mut self, account: &BareJid, query: &Query) -> Result<Option<Record>, StoreFailed> {
        let found = match query {
            Query::Profile(jid) => self.on_rows(|rows| rows.profile(account, jid)),
        };
        found.map(|profile| profile.map(|profile| Record::Profile(Box::new(profile)))).map_err(|error| {
            tracing::warn!(%error, %account, "something could not be read");
            StoreFailed
        })
    }

    pub(super) fn apply(&mut self, account: &BareJid, write: Write) -> Result<(), StoreFailed> {
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
        result.map_err(|_| StoreFailed)
    }

    /// A picture may no longer be used.
    fn set_aside(&mut self, id: ImageId) {
        self.unused.insert(id);
        let bytes: u64 = self.unused.iter().map(|id| self.images.bytes_of(*id)).sum();
        if self.unused.len() >= UNUSED || bytes > UNUSED_BYTES {
            self.remove_unused();
        }
    }

    /// Removes noted pictures that nobody uses.
    fn remove_unused(&mut self) {
        let unused = std::mem::take(&mut self.unused);
        let removed = self.on_rows(Rows::avatars).and_then(|needed| {
            unused.difference(&needed).try_for_each(|id| self.images.remove(*id)).map_err(RowsError::Disk)
        });
        if let Err(error) = removed {
            // The next start removes them.
            tracing::warn!(%error, "images that nobody needs can't be removed");
        }
    }

    /// Returns whether everything is on disk.
    fn write_out(&mut self) -> bool {
        if !self.dirty {
            return true;
        }
        let rows = self.on_rows(Rows::flush);
        // Not retried: what failed is lost, and has been reported.
        self.dirty = false;
        self.metrics.flushed(rows.is_ok());
        if let Err(error) = &rows {
            tracing::warn!(%error, "the cache could not be written out");
        }
        rows.is_ok()
    }

    /// Runs an operation on the rows. If it fails, they are closed, and reopened by the first caller after a while:
    /// once sled has failed, it keeps failing.
    pub(super) fn on_rows<T>(
        &mut self,
        work: impl FnOnce(&Rows) -> Result<T, RowsError>,
    ) -> Result<T, RowsError> {
        let rows = match self.rows.take() {
            Some(rows) => rows,
            None => self.reopen()?,
        };
        let patience = Patience::begin();
        let result = catch_unwind(AssertUnwindSafe(|| work(&rows)))
            .unwrap_or_else(|_| Err(RowsError::Damaged("it panicked".to_owned())));
        drop(patience);
        match result {
            Ok(_) | Err(RowsError::NoRoster) => self.rows = Some(rows),
            Err(_) => {
                // Unflushed data of all accounts is lost with it, and so is a copy in progress.
                self.sound.clear();
                self.give_up_forgetting();
                // Closing can fail in as many ways as opening. If it hangs, as on a full disk, the folder stays
                // locked and is set aside when it is reopened.
                let _ = close(rows);
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
