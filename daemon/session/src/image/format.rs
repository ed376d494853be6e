//! What it would cost a program to show a picture, read from the structure of its file alone: nothing is decoded
//! except compressed text chunks, within a bound.
//!
//! The parsers are strict. Anything that a decoder might read differently is refused.

use super::canvas::{Canvas, MALFORMED, Reader, Refusal};
use super::{gif, jpeg, png, webp};
use crate::model::ImageType;

const UNKNOWN: Refusal = "neither GIF, JPEG, PNG nor WebP";

/// The picture's format and size.
pub(super) fn read(data: &[u8]) -> Result<(ImageType, Canvas), Refusal> {
    let (kind, canvas) = match data {
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => (ImageType::Gif, gif::read(Reader(data))?),
        [0xff, 0xd8, 0xff, ..] => (ImageType::Jpeg, jpeg::read(Reader(data))?),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
            (ImageType::Webp, webp::read(Reader(data))?)
        }
        _ if data.starts_with(png::SIGNATURE) => (ImageType::Png, png::read(Reader(data))?),
        _ => return Err(UNKNOWN),
    };
    if canvas.frames == 0 {
        return Err(MALFORMED);
    }
    // Previews: cameras add them to any of the four formats (EXIF), or after a JPEG (MPO).
    jpeg::check_all(data)?;
    Ok((kind, canvas))
}

#[cfg(test)]
mod tests;
