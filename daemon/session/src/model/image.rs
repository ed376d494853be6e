//! Pictures: what names one, and what is known about it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A saved picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avatar {
    /// The SHA-1 of its bytes.
    pub id: ImageId,
    /// By its magic bytes.
    pub kind: ImageType,
    /// In bytes.
    pub bytes: u32,
    /// In pixels.
    pub width: u16,
    /// In pixels.
    pub height: u16,
}

/// An avatar's metadata (XEP-0084 §4.2, or XEP-0153's hash).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvatarRecord {
    /// Names the image.
    pub id: ImageId,
    /// Found by inspecting the bytes; absent until they are saved.
    pub image: Option<ImageInfo>,
    /// From a vcard-temp (XEP-0153), so that a XEP-0084 avatar takes precedence.
    pub legacy: bool,
    /// The id of its item, if the owner spells the SHA-1 differently.
    pub spelling: Option<String>,
}

/// What the bytes of an image say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// By magic bytes, regardless of the announced type.
    pub kind: ImageType,
    /// Size of the file, in bytes.
    pub bytes: u32,
    /// In pixels.
    pub width: u16,
    /// In pixels.
    pub height: u16,
}

/// The SHA-1 of an image's bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ImageId(pub [u8; 20]);

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hex = [0; 40];
        hex::encode_to_slice(self.0, &mut hex).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&hex).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not a SHA-1 in hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-1 in hexadecimal digits")]
pub struct NotAnImageId;

impl std::str::FromStr for ImageId {
    type Err = NotAnImageId;

    fn from_str(hex: &str) -> Result<Self, Self::Err> {
        let mut id = [0; 20];
        hex::decode_to_slice(hex, &mut id).map_err(|_| NotAnImageId)?;
        Ok(Self(id))
    }
}

/// The image formats that we accept. Never SVG: it can carry scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageType {
    /// `image/gif`
    Gif,
    /// `image/jpeg`
    Jpeg,
    /// `image/png`
    Png,
    /// `image/webp`
    Webp,
}

impl ImageType {
    /// The media type, as in `image/png`.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Gif => "image/gif",
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Webp => "image/webp",
        }
    }
}
