//! Images as files, `ab/abcdef….png`, named after the SHA-1 of their bytes: one file per image, however many contacts
//! and accounts have it. Its thumbnails are next to it, as in `ab/abcdef….64.png`.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use prosed_session::{ImageId, ImageType};
use sha1::{Digest as _, Sha1};

use super::metrics::CacheMetrics;
use super::thumbnail;
use crate::files::{self, Durability};

/// Sides of thumbnails, in pixels. There are few, so that pages cannot fill the cache with every possible size.
const SIZES: [u16; 3] = [64, 128, 256];

/// The side of a thumbnail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ThumbnailSize(u16);

impl ThumbnailSize {
    /// The smallest that is at least this large, else the largest.
    pub(crate) fn fitting(pixels: NonZeroU32) -> Self {
        let fits = SIZES.into_iter().find(|size| u32::from(*size) >= pixels.get());
        Self(fits.unwrap_or(SIZES[SIZES.len() - 1]))
    }

    pub(crate) fn pixels(self) -> u16 {
        self.0
    }
}

const KINDS: [ImageType; 4] = [ImageType::Png, ImageType::Jpeg, ImageType::Webp, ImageType::Gif];

/// Bytes of all images and thumbnails, of all accounts: 50 KiB for each contact of the largest roster, several times
/// the size of typical pictures. Each contact has at most two, of 1 MiB each, so it takes hundreds of contacts to
/// fill this; further ones are shown without a picture.
const MOST_BYTES: u64 = 1024 * 1024 * 1024;

/// The images that exist. Their files may be gone or damaged: only [`read`] knows.
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
    thumbnails: Vec<Thumbnail>,
}

#[derive(Clone, Copy)]
struct Thumbnail {
    size: ThumbnailSize,
    kind: ImageType,
    bytes: u64,
}

impl Images {
    /// Lists what exists, by name. Incomplete or empty files left by a crash are removed.
    pub(super) fn open(folder: PathBuf, metrics: CacheMetrics) -> io::Result<Self> {
        files::private_subfolder(&folder)?;
        let mut images = Self { folder, index: HashMap::new(), bytes: 0, most_bytes: MOST_BYTES, metrics };
        let mut thumbnails = Vec::new();
        for shelf in fs::read_dir(&images.folder)?.flatten() {
            // Not a folder: not ours.
            let Ok(entries) = fs::read_dir(shelf.path()) else { continue };
            for entry in entries.flatten() {
                let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
                match parse_name(&entry.file_name().to_string_lossy()).filter(|_| bytes > 0) {
                    Some((id, None, kind)) => images.enter(id, kind, bytes),
                    Some((id, Some(size), kind)) => {
                        thumbnails.push((id, Thumbnail { size, kind, bytes }, entry.path()));
                    }
                    None => files::remove(&entry.path())?,
                }
            }
        }
        for (id, thumbnail, path) in thumbnails {
            if !images.enter_thumbnail(id, thumbnail) {
                files::remove(&path)?;
            }
        }
        Ok(images)
    }

    fn enter(&mut self, id: ImageId, kind: ImageType, bytes: u64) {
        self.metrics.image_added(bytes);
        self.bytes += bytes;
        let stored = Stored { kind, bytes, thumbnails: Vec::new() };
        if let Some(replaced) = self.index.insert(id, stored) {
            self.metrics.image_removed(replaced.bytes);
            self.bytes -= replaced.bytes;
        }
    }

    /// Returns whether its image exists.
    fn enter_thumbnail(&mut self, id: ImageId, thumbnail: Thumbnail) -> bool {
        let Some(stored) = self.index.get_mut(&id) else { return false };
        if let Some(at) = stored.thumbnails.iter().position(|known| known.size == thumbnail.size) {
            let replaced = stored.thumbnails.swap_remove(at);
            self.bytes -= replaced.bytes;
            self.metrics.thumbnail_removed(replaced.bytes);
        }
        stored.thumbnails.push(thumbnail);
        self.bytes += thumbnail.bytes;
        self.metrics.thumbnail_added(thumbnail.bytes);
        true
    }

    /// Stores a thumbnail, if there is room for it: it can be made again.
    pub(super) fn write_thumbnail(
        &mut self,
        id: ImageId,
        size: ThumbnailSize,
        kind: ImageType,
        data: &[u8],
    ) -> io::Result<()> {
        let thumbnail = Thumbnail { size, kind, bytes: data.len() as u64 };
        if self.has_room(data.len()) && self.contains(id) {
            let path = path(&self.folder, id, Some(size), kind);
            files::write_atomic(&path, data, Durability::Written)?;
            self.enter_thumbnail(id, thumbnail);
        }
        Ok(())
    }

    /// Pictures take precedence.
    pub(super) fn remove_thumbnails(&mut self) -> io::Result<()> {
        let ids: Vec<_> = self.index.keys().copied().collect();
        ids.into_iter().try_for_each(|id| self.remove_thumbnails_of(id))
    }

    fn remove_thumbnails_of(&mut self, id: ImageId) -> io::Result<()> {
        let Some(stored) = self.index.get_mut(&id) else { return Ok(()) };
        while let Some(Thumbnail { size, kind, bytes }) = stored.thumbnails.last().copied() {
            files::remove(&path(&self.folder, id, Some(size), kind))?;
            stored.thumbnails.pop();
            self.bytes -= bytes;
            self.metrics.thumbnail_removed(bytes);
        }
        Ok(())
    }

    /// Whether there is room for an image of this size.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.bytes + bytes as u64 <= self.most_bytes
    }

    /// The size of an image; zero if there is none.
    pub(super) fn bytes_of(&self, id: ImageId) -> u64 {
        self.index.get(&id).map_or(0, |stored| stored.bytes)
    }

    pub(super) fn contains(&self, id: ImageId) -> bool {
        self.index.contains_key(&id)
    }

    /// Writes an image; costs nothing if it exists already. Not synced: it can be fetched again, and a file damaged
    /// by a power failure does not match its name.
    pub(super) fn write(&mut self, id: ImageId, kind: ImageType, data: &[u8]) -> io::Result<()> {
        let path = path(&self.folder, id, None, kind);
        if !self.index.contains_key(&id) {
            if !self.has_room(data.len()) {
                let text = format!("pictures take {} bytes already", self.bytes);
                return Err(io::Error::new(io::ErrorKind::QuotaExceeded, text));
            }
            let written = files::write_atomic(&path, data, Durability::Written);
            match written {
                // The first on its shelf; or a user has emptied the cache.
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
        self.remove_thumbnails_of(id)?;
        match self.index.get(&id) {
            Some(stored) => {
                files::remove(&path(&self.folder, id, None, stored.kind))?;
                self.metrics.image_removed(stored.bytes);
                self.bytes -= stored.bytes;
                self.index.remove(&id);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Removes everything that is not in `wanted`.
    pub(super) fn sweep(&mut self, wanted: &HashSet<ImageId>) -> io::Result<()> {
        let unwanted: Vec<_> = self.index.keys().filter(|id| !wanted.contains(id)).copied().collect();
        unwanted.into_iter().try_for_each(|id| self.remove(id))
    }
}

/// Reads an image and compares it with its name. `None`: there is none that could be shown.
pub(super) fn read(folder: &Path, id: ImageId) -> Option<(ImageType, Vec<u8>)> {
    let (kind, data) = find(folder, id, None)?;
    (Sha1::digest(&data).as_slice() == id.0).then_some((kind, data))
}

/// Reads a thumbnail. `None`: it must be made.
pub(super) fn read_thumbnail(
    folder: &Path,
    id: ImageId,
    size: ThumbnailSize,
) -> Option<(ImageType, Vec<u8>)> {
    // After a power failure it lacks its end.
    find(folder, id, Some(size)).filter(|(kind, data)| thumbnail::is_whole(*kind, data))
}

fn find(folder: &Path, id: ImageId, size: Option<ThumbnailSize>) -> Option<(ImageType, Vec<u8>)> {
    KINDS.into_iter().find_map(|kind| Some((kind, files::read(&path(folder, id, size, kind)).ok()??)))
}

fn path(folder: &Path, id: ImageId, size: Option<ThumbnailSize>, kind: ImageType) -> PathBuf {
    let (name, kind) = (id.to_string(), extension(kind));
    let file = match size {
        None => format!("{name}.{kind}"),
        Some(ThumbnailSize(pixels)) => format!("{name}.{pixels}.{kind}"),
    };
    folder.join(&name[..2]).join(file)
}

fn parse_name(name: &str) -> Option<(ImageId, Option<ThumbnailSize>, ImageType)> {
    let (id, suffix) = name.split_once('.')?;
    let (size, suffix) = match suffix.split_once('.') {
        None => (None, suffix),
        Some((size, suffix)) => {
            let size = size.parse().ok().filter(|size| SIZES.contains(size))?;
            (Some(ThumbnailSize(size)), suffix)
        }
    };
    Some((id.parse().ok()?, size, KINDS.into_iter().find(|kind| extension(*kind) == suffix)?))
}

fn extension(kind: ImageType) -> &'static str {
    match kind {
        ImageType::Gif => "gif",
        ImageType::Jpeg => "jpg",
        ImageType::Png => "png",
        ImageType::Webp => "webp",
    }
}
