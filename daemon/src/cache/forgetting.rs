//! Forgetting an account: the rows are replaced by a copy without the account's.
//!
//! All accounts' rows are in one database, so how long the copy takes depends on all of them. It is made in pieces,
//! and writes of all accounts go on in between.

use jid::BareJid;
use prosed_session::Write;
use tokio::sync::oneshot;

use super::StoreError;
use super::keeper::Keeper;
use super::opening::{self, close};
use super::rows::{Change, Copy, Rows, RowsError};
use crate::files;

/// Rows per piece: a few milliseconds of work.
const PIECE: usize = 256;

/// Gets whether there was anything to erase.
pub(super) type Forgotten = oneshot::Sender<Result<bool, StoreError>>;

/// One in progress.
pub(super) struct Forgetting {
    account: BareJid,
    /// The account had a row.
    found: bool,
    copy: Copy,
    reply: Forgotten,
}

impl Keeper {
    pub(super) fn is_forgetting(&self) -> bool {
        self.forgetting.is_some() || !self.to_forget.is_empty()
    }

    /// Does one piece of the forgetting, if there is any.
    pub(super) fn go_on_forgetting(&mut self) {
        let Some(mut forgetting) = self.forgetting.take() else {
            if let Some((account, reply)) = self.to_forget.pop_front() {
                self.begin_forgetting(account, reply);
            }
            return;
        };
        match self.on_rows(|rows| forgetting.copy.go_on(rows, PIECE)) {
            Ok(true) => self.forgetting = Some(forgetting),
            Ok(false) => {
                let Forgetting { account, found, copy, reply } = forgetting;
                let done = self.end_forgetting(&account, copy);
                self.tell(reply, done.map(|()| found));
            }
            Err(error) => self.tell(forgetting.reply, Err(error)),
        }
    }

    fn begin_forgetting(&mut self, account: BareJid, reply: Forgotten) {
        let found = match self.on_rows(|rows| rows.has(&account)) {
            // Without a row there may be remains of one; without a record, a login was never accepted.
            Ok(false) if !self.registry.has_record(&account) => return self.tell(reply, Ok(false)),
            Ok(found) => found,
            Err(error) => return self.tell(reply, Err(error)),
        };
        let [new, _] = opening::successor(&self.rows_folder);
        let cleared = files::remove_folder(&new).map_err(RowsError::Disk);
        match cleared.and_then(|()| Copy::begin(&account, &new)) {
            Ok(copy) => self.forgetting = Some(Forgetting { account, found, copy, reply }),
            Err(error) => self.tell(reply, Err(error)),
        }
    }

    /// Replaces the rows with the copy, and removes what is no longer needed.
    fn end_forgetting(&mut self, account: &BareJid, mut copy: Copy) -> Result<(), RowsError> {
        let [theirs, others] = std::mem::take(&mut copy.avatars);
        let [new, _] = opening::successor(&self.rows_folder);
        copy.finish(&new)?;
        let rows = self.rows.take();
        close(rows).map_err(|hung| RowsError::Damaged(hung.to_owned()))?;
        opening::replace(&self.rows_folder).map_err(RowsError::Disk)?;
        self.sound.remove(account);
        // Everything written so far is in the copy.
        self.dirty = false;
        // If it fails, the next caller tries again.
        self.failed_at = None;
        self.rows = self.reopen().ok();
        self.rows.iter().for_each(Rows::drop_found);
        files::remove_set_aside(&self.rows_folder).map_err(RowsError::Disk)?;
        let unused = std::mem::take(&mut self.unused);
        let unwanted = theirs.union(&unused).filter(|id| !others.contains(id));
        unwanted.copied().try_for_each(|id| self.images.remove(id)).map_err(RowsError::Disk)
    }

    /// Rows have changed while others are being copied.
    pub(super) fn follow(&mut self, account: &BareJid, change: &Change, write: &Write) {
        let Some(forgetting) = self.forgetting.as_mut().filter(|it| it.account != *account) else { return };
        if let Err(error) = forgetting.copy.follow(change, write)
            && let Some(Forgetting { reply, .. }) = self.forgetting.take()
        {
            self.tell(reply, Err(error));
        }
    }

    /// The rows that are being copied are gone.
    pub(super) fn give_up_forgetting(&mut self) {
        if let Some(Forgetting { reply, .. }) = self.forgetting.take() {
            self.tell(reply, Err(RowsError::Damaged("the cache failed".to_owned())));
        }
    }

    fn tell(&self, reply: Forgotten, outcome: Result<bool, RowsError>) {
        if outcome.is_err() {
            let [new, _] = opening::successor(&self.rows_folder);
            // Otherwise the next start removes it.
            let _ = files::remove_folder(&new);
        }
        // The caller may be gone.
        let _ = reply.send(outcome.map_err(|error| StoreError::Unusable(error.to_string())));
    }
}
