//! Secrets: how they are held in memory and kept on disk.

/// A password. No `Debug`, wiped when dropped.
pub struct Password(pub String);
