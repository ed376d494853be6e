//! Images as files, `ab/abcdef….png`, named by the SHA-1 of their bytes: one file an image,
//! however many contacts and accounts have it.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use prosed_session::{ImageId, ImageType};
use sha1::{Digest as _, Sha1};

use super::metrics::CacheMetrics;
use crate::files::{self, Durability};

const KINDS: [ImageType; 4] = [ImageType::Png, ImageType::Jpeg, ImageType::Webp, ImageType::Gif];

/// Bytes of all images, of all accounts: 50 KiB for each contact of the largest roster, several times what pictures
/// have. Each contact has two at most, of 1 MiB each, so it takes hundreds of them to fill this; who comes then is
/// shown without a picture.
const MOST_BYTES: u64 = 1024 * 1024 * 1024;

/// Which images there are. The files themselves may be gone or damaged: only [`read`] knows.
pub(super) struct Images {
    folder: PathBuf,
    index: HashMap<ImageId, Stored>,
    bytes: u64,
    pub(super) most_bytes: u64,
    metrics: CacheMetrics,
}

struct Stored {
    kind: ImageType,
    bytes: u64,
}

impl Images {
    /// Looks what is there, by name. What a crash left half-written or empty goes.
    pub(super) fn open(folder: PathBuf, metrics: CacheMetrics) -> io::Result<Self> {
        files::private_subfolder(&folder)?;
        let mut images = Self { folder, index: HashMap::new(), bytes: 0, most_bytes: MOST_BYTES, metrics };
        for shelf in fs::read_dir(&images.folder)?.flatten() {
            // Not a folder: not ours.
            let Ok(entries) = fs::read_dir(shelf.path()) else { continue };
            for entry in entries.flatten() {
                let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
                match parse_name(&entry.file_name().to_string_lossy()).filter(|_| bytes > 0) {
                    Some((id, kind)) => images.enter(id, kind, bytes),
                    None => files::remove(&entry.path())?,
                }
            }
        }
        Ok(images)
    }

    fn enter(&mut self, id: ImageId, kind: ImageType, bytes: u64) {
        self.metrics.image_added(bytes);
        self.bytes += bytes;
        if let Some(replaced) = self.index.insert(id, Stored { kind, bytes }) {
            self.metrics.image_removed(replaced.bytes);
            self.bytes -= replaced.bytes;
        }
    }

    /// Whether an image of so many bytes may come.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.bytes + bytes as u64 <= self.most_bytes
    }

    /// What an image takes; nothing where there is none.
    pub(super) fn bytes_of(&self, id: ImageId) -> u64 {
        self.index.get(&id).map_or(0, |stored| stored.bytes)
    }

    pub(super) fn contains(&self, id: ImageId) -> bool {
        self.index.contains_key(&id)
    }

    /// Writes an image; free when it is there already. Not synced: it can be had again, and a file
    /// that a power failure has spoilt does not fit its name.
    pub(super) fn write(&mut self, id: ImageId, kind: ImageType, data: &[u8]) -> io::Result<()> {
        let path = path(&self.folder, id, kind);
        if !self.index.contains_key(&id) {
            if !self.has_room(data.len()) {
                let text = format!("pictures take {} bytes already", self.bytes);
                return Err(io::Error::new(io::ErrorKind::QuotaExceeded, text));
            }
            let written = files::write_atomic(&path, data, Durability::Written);
            match written {
                // The first on its shelf; or somebody has emptied the cache behind our back.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    files::private_subfolder(path.parent().unwrap_or(&self.folder))?;
                    files::write_atomic(&path, data, Durability::Written)?;
                }
                written => written?,
            }
            self.enter(id, kind, data.len() as u64);
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, id: ImageId) -> io::Result<()> {
        match self.index.get(&id) {
            Some(stored) => {
                files::remove(&path(&self.folder, id, stored.kind))?;
                self.metrics.image_removed(stored.bytes);
                self.bytes -= stored.bytes;
                self.index.remove(&id);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Removes all that are not in `wanted`.
    pub(super) fn sweep(&mut self, wanted: &HashSet<ImageId>) -> io::Result<()> {
        let unwanted: Vec<_> = self.index.keys().filter(|id| !wanted.contains(id)).copied().collect();
        unwanted.into_iter().try_for_each(|id| self.remove(id))
    }
}

/// Reads an image and compares it with its name. `None`: there is none that could be shown.
pub(super) fn read(folder: &Path, id: ImageId) -> Option<(ImageType, Vec<u8>)> {
    let (kind, data) =
        KINDS.into_iter().find_map(|kind| Some((kind, files::read(&path(folder, id, kind)).ok()??)))?;
    (Sha1::digest(&data).as_slice() == id.0).then_some((kind, data))
}

fn path(folder: &Path, id: ImageId, kind: ImageType) -> PathBuf {
    let name = id.to_string();
    folder.join(&name[..2]).join(format!("{name}.{}", extension(kind)))
}

fn parse_name(name: &str) -> Option<(ImageId, ImageType)> {
    let (id, suffix) = name.split_once('.')?;
    Some((id.parse().ok()?, KINDS.into_iter().find(|kind| extension(*kind) == suffix)?))
}

fn extension(kind: ImageType) -> &'static str {
    match kind {
        ImageType::Gif => "gif",
        ImageType::Jpeg => "jpg",
        ImageType::Png => "png",
        ImageType::Webp => "webp",
    }
}
