//! All accounts of this daemon: login, logout, and access to their actors.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use jid::BareJid;
use prosed_session::{Command, Failure};
use tokio::runtime::Handle as Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::actor::{INBOX, Leaving, Message, Start};
use crate::credentials::StoreName;
use crate::shell::{AccountError, Login, Reply, Shell, Standing};
use crate::starts::{Step, WATCHED};
use crate::stream;
use crate::supervisor::supervise;

/// Accounts in one daemon: each costs some 200 KiB besides its contacts.
const ACCOUNTS: usize = 4_096;
/// The interval between logins of remembered accounts at start: a thousand must not connect at once.
const STAGGER: Duration = Duration::from_millis(20);
/// How often to try remembered accounts whose secret is in a locked keyring: a desktop with automatic login unlocks
/// it when its owner arrives. A try costs milliseconds.
const KEYRING_RETRY: Duration = Duration::from_secs(20);

/// How long an account that is connected alone may take to come online before the next one's turn …
const TRIAL: Duration = Duration::from_secs(10);
/// … and how long it is watched after that.
const AFTER_TRIAL: Duration = Duration::from_secs(2);

/// All accounts. Cheap to share behind an `Arc`.
pub(crate) struct Accounts {
    shell: Arc<Shell>,
    handles: Arc<Mutex<Handles>>,
    /// Where the actors run, regardless of the caller.
    runtime: Runtime,
}

type Handle = mpsc::Sender<Message>;

/// The handle of each actor.
#[derive(Default)]
struct Handles {
    all: BTreeMap<BareJid, Handle>,
    /// The daemon is stopping: no new actors.
    stopping: bool,
}

impl Accounts {
    /// Restores the known accounts, and logs in the remembered ones.
    pub(crate) fn start(shell: Shell, runtime: Runtime) -> Arc<Self> {
        let accounts = Arc::new(Self { shell: Arc::new(shell), handles: Arc::default(), runtime });
        let starts = accounts.shell.starts.clone();
        let (mut suspects, mut others) = (Vec::new(), Vec::new());
        for (account, _) in accounts.shell.registry.accounts() {
            let left_out = starts.is_culprit(&account);
            let start = Start {
                failure: left_out.then_some(Failure::Internal { again: false }),
                login: false,
                distrust_cache: starts.distrusts_cache(&account),
            };
            accounts.spawn(&account, start, &mut accounts.handles());
            if left_out {
                error!(%account, "prosed has crashed while only this account was connecting: left out until its next login");
            } else if starts.is_suspect(&account) {
                suspects.push(account);
            } else {
                others.push(account);
            }
        }
        if let Some(starts) = starts.careful().filter(|_| !suspects.is_empty()) {
            let last = suspects.len();
            warn!(
                starts,
                last,
                "earlier starts have crashed while accounts were connecting: these are connected last, one at a time"
            );
        }
        let returning = Arc::clone(&accounts);
        accounts.runtime.spawn(async move {
            let mut watched = Some(tokio::time::sleep(WATCHED));
            loop {
                let began = !others.is_empty();
                others = returning.bring_back(others, false).await;
                if began && !suspects.is_empty() {
                    tokio::time::sleep(AFTER_TRIAL).await;
                }
                suspects = returning.bring_back(suspects, true).await;
                if let Some(watched) = watched.take() {
                    let starts = starts.clone();
                    tokio::spawn(async move {
                        watched.await;
                        starts.over();
                    });
                }
                if others.is_empty() && suspects.is_empty() {
                    break;
                }
                tokio::time::sleep(KEYRING_RETRY).await;
            }
        });
        let watching = Arc::clone(&accounts);
        accounts.runtime.spawn(async move { watching.watch_network().await });
        accounts
    }

    /// Probes all connections after the network has changed or the machine has slept.
    async fn watch_network(&self) {
        let mut changes = match stream::network_changes() {
            Ok(changes) => changes,
            Err(error) => return warn!(%error, "network changes will be noticed late"),
        };
        loop {
            changes.next().await;
            info!("the network has changed, or the machine has slept: checking every connection");
            for handle in self.handles().all.values() {
                // A busy account will notice by itself.
                let _ = handle.try_send(Message::Probe);
            }
        }
    }

    /// Logs in the remembered ones of these accounts, one at a time (`alone`) if one of them may kill the process;
    /// returns those whose keyring may open later.
    async fn bring_back(&self, accounts: Vec<BareJid>, alone: bool) -> Vec<BareJid> {
        let mut waiting = Vec::new();
        for jid in accounts {
            let entry = self.shell.registry.entry(&jid);
            let Some(entry) = entry.filter(|entry| entry.remember && !entry.logged_out) else { continue };
            let login = Login {
                jid: jid.clone(),
                password: None,
                remember: true,
                connection: entry.connection,
                accept_downgrade: false,
            };
            if alone {
                self.shell.starts.note(Step::Trying, &jid);
            }
            match self.login(login).await {
                Ok(answer) if alone => {
                    let _ = timeout(TRIAL, answer).await;
                    tokio::time::sleep(AFTER_TRIAL).await;
                }
                Ok(_) => {}
                Err(AccountError::Stopping(_)) => return Vec::new(),
                Err(AccountError::CredentialsMissing(_))
                    if entry.secret_store == Some(StoreName::SecretService) =>
                {
                    waiting.push(jid.clone());
                }
                Err(error) => warn!(account = %jid, %error, "a remembered account can't log in"),
            }
            if alone {
                self.shell.starts.note(Step::Cleared, &jid);
            }
            tokio::time::sleep(STAGGER).await;
        }
        waiting
    }

    /// All accounts, sorted by JID.
    pub(crate) fn list(&self) -> Vec<BareJid> {
        self.handles().all.keys().cloned().collect()
    }

    /// What the shell knows about an account in addition to its session's state.
    pub(crate) fn standing(&self, account: &BareJid) -> Standing {
        self.shell.standing(account)
    }

    /// Passes a command to the account's session. When this returns, the command has its place in the session's
    /// order; the receiver then gets the answer (or closes: the session ended).
    pub(crate) async fn issue(
        &self,
        account: &BareJid,
        command: Command,
    ) -> Result<oneshot::Receiver<Reply>, AccountError> {
        let (reply, answer) = oneshot::channel();
        self.send(account, Message::Command { command, reply }).await?;
        Ok(answer)
    }

    /// Starts a login, or attaches to a live session. The account exists when this returns.
    pub(crate) async fn login(&self, login: Login) -> Result<oneshot::Receiver<Reply>, AccountError> {
        loop {
            self.ensure(&login)?;
            let (begun, answer) = oneshot::channel();
            let message = Message::Login { login: Box::new(login.clone()), begun };
            if self.send(&login.jid, message).await.is_ok() {
                match answer.await {
                    Ok(begun) => return begun,
                    Err(_) if self.exists(&login.jid) => return Err(AccountError::Crashed(login.jid)),
                    Err(_) => {}
                }
            }
            // An account with the same JID was being removed, and is gone now.
        }
    }

    fn exists(&self, account: &BareJid) -> bool {
        self.handles().all.get(account).is_some_and(|handle| !handle.is_closed())
    }

    /// Ensures that the account has an actor.
    fn ensure(&self, login: &Login) -> Result<(), AccountError> {
        let mut handles = self.handles();
        if handles.stopping {
            return Err(AccountError::Stopping(login.jid.clone()));
        }
        if handles.all.get(&login.jid).is_some_and(|handle| !handle.is_closed()) {
            return Ok(());
        }
        if login.password.is_none() && !self.shell.credentials.is_given(&login.jid) {
            return Err(AccountError::CredentialsMissing(login.jid.clone()));
        }
        if handles.all.len() >= ACCOUNTS {
            return Err(AccountError::LimitExceeded { what: "accounts", limit: ACCOUNTS });
        }
        self.spawn(&login.jid, Start::default(), &mut handles);
        Ok(())
    }

    /// Makes the account connect now, or probe its connection.
    pub(crate) async fn reconnect(&self, account: &BareJid) -> Result<(), AccountError> {
        let (hurried, answer) = oneshot::channel();
        self.send(account, Message::Hurry { hurried }).await?;
        match answer.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(AccountError::Offline(account.clone())),
            Err(_) if self.exists(account) => Err(AccountError::Crashed(account.clone())),
            Err(_) => Err(AccountError::Unknown(account.clone())),
        }
    }

    /// Ends the session; `forget` also erases cache and secret, even if the account has no session.
    pub(crate) async fn logout(&self, account: &BareJid, forget: bool) -> Result<(), AccountError> {
        let why = if forget { Leaving::Forgotten } else { Leaving::LoggedOut };
        match self.leave(account, why).await {
            Err(AccountError::Unknown(_)) if forget => self.forget_unknown(account).await,
            left => left,
        }
    }

    /// Erases what a crash, a damaged list or another version has left of an unknown account.
    async fn forget_unknown(&self, account: &BareJid) -> Result<(), AccountError> {
        // Holds its place in the meantime: a login waits until this is dropped, and finds the place free again.
        let (place, waiting) = mpsc::channel(INBOX);
        {
            let mut handles = self.handles();
            if handles.stopping {
                return Err(AccountError::Stopping(account.clone()));
            }
            if handles.all.get(account).is_some_and(|handle| !handle.is_closed()) {
                return Err(AccountError::Unknown(account.clone()));
            }
            handles.all.insert(account.clone(), place.clone());
        }
        let (account, shell, handles) = (account.clone(), Arc::clone(&self.shell), Arc::clone(&self.handles));
        // Runs to completion even if the caller goes away.
        let forgetting = self.runtime.spawn(async move {
            let found = shell.forget_unknown(&account).await;
            remove(&mut lock(&handles), &account, &place);
            drop(waiting);
            found.and_then(|found| if found { Ok(()) } else { Err(AccountError::Unknown(account)) })
        });
        forgetting.await.unwrap_or(Err(AccountError::StorageFailed))
    }

    /// The accounts whose actors do not answer within `patience`: they are stuck.
    pub(crate) async fn stuck(&self, patience: Duration) -> Vec<BareJid> {
        let handles = self.handles().all.clone();
        let asked = handles.into_iter().map(async |(account, handle)| {
            let (answer, answered) = oneshot::channel();
            let asked = async {
                // One that is gone, or crashes in response, is not stuck.
                if handle.send(Message::Ping { answer }).await.is_ok() {
                    let _ = answered.await;
                }
            };
            timeout(patience, asked).await.is_err().then_some(account)
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// All accounts send unavailable presence, at the same time.
    pub(crate) async fn stop(self: &Arc<Self>) {
        self.handles().stopping = true;
        let mut leaving = JoinSet::new();
        for account in self.list() {
            let accounts = Arc::clone(self);
            leaving.spawn(async move { accounts.leave(&account, Leaving::Stopping).await });
        }
        while leaving.join_next().await.is_some() {}
    }

    async fn leave(&self, account: &BareJid, why: Leaving) -> Result<(), AccountError> {
        let (done, answer) = oneshot::channel();
        let handle = self.send(account, Message::Leave { why, done }).await?;
        match answer.await {
            Ok(left) => {
                if left.is_ok() && why == Leaving::Forgotten {
                    // To later callers it is gone, though its task has not ended yet.
                    remove(&mut self.handles(), account, &handle);
                }
                left
            }
            Err(_) if self.exists(account) => Err(AccountError::Crashed(account.clone())),
            Err(_) => Err(AccountError::Unknown(account.clone())),
        }
    }

    async fn send(&self, account: &BareJid, message: Message) -> Result<mpsc::Sender<Message>, AccountError> {
        let unknown = || AccountError::Unknown(account.clone());
        let handle = self.handles().all.get(account).cloned().ok_or_else(unknown)?;
        handle.send(message).await.map_err(|_| unknown())?;
        Ok(handle)
    }

    fn spawn(&self, account: &BareJid, start: Start, handles: &mut Handles) {
        let (handle, inbox) = mpsc::channel(INBOX);
        handles.all.insert(account.clone(), handle.clone());
        let (account, shell, handles) = (account.clone(), Arc::clone(&self.shell), Arc::clone(&self.handles));
        self.runtime.spawn(async move {
            supervise(account.clone(), shell, inbox, start).await;
            remove(&mut lock(&handles), &account, &handle);
        });
    }

    fn handles(&self) -> MutexGuard<'_, Handles> {
        lock(&self.handles)
    }
}

/// Removes an actor, unless a login has already replaced it.
fn remove(handles: &mut Handles, account: &BareJid, handle: &mpsc::Sender<Message>) {
    if handles.all.get(account).is_some_and(|current| current.same_channel(handle)) {
        handles.all.remove(account);
    }
}

/// Each change to the map is one call: a panic elsewhere leaves it consistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
