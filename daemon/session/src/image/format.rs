//! What it would cost a program to show a picture, read from the structure of its file alone: nothing is decoded
//! except compressed text chunks, within a bound.
//!
//! The parsers are strict. Anything that a decoder might read differently is refused.

use super::{gif, jpeg, png, webp};
use crate::bounds;
use crate::snapshot::ImageType;

/// Why a picture is refused.
pub(super) type Refusal = &'static str;

pub(super) const MALFORMED: Refusal = "its structure is broken";
const UNKNOWN: Refusal = "neither GIF, JPEG, PNG nor WebP";
const TOO_LARGE: Refusal = "larger than 4096 pixels a side or 16 megapixels";
const TOO_LONG: Refusal = "more than 1000 frames, or 64 megapixels in all of them";

/// The canvas of a picture, and what is drawn on it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Canvas {
    pub(super) width: usize,
    pub(super) height: usize,
    frames: usize,
}

impl Canvas {
    pub(super) fn new(width: usize, height: usize) -> Result<Self, Refusal> {
        let sides = 1..=bounds::AVATAR_SIDE;
        if !sides.contains(&width) || !sides.contains(&height) || width * height > bounds::AVATAR_PIXELS {
            return Err(TOO_LARGE);
        }
        Ok(Self { width, height, frames: 0 })
    }

    /// One more frame, with this position and size. However small it is, a viewer draws, and may keep, the whole
    /// canvas.
    pub(super) fn draw(
        &mut self,
        (x, y): (usize, usize),
        width: usize,
        height: usize,
    ) -> Result<(), Refusal> {
        if width == 0
            || height == 0
            || x.saturating_add(width) > self.width
            || y.saturating_add(height) > self.height
        {
            return Err(MALFORMED);
        }
        self.frames += 1;
        let pixels = self.frames * self.width * self.height;
        if self.frames > bounds::AVATAR_FRAMES || pixels > bounds::AVATAR_FRAMES_PIXELS {
            return Err(TOO_LONG);
        }
        Ok(())
    }

    /// One more frame, as large as the canvas.
    pub(super) fn fill(&mut self) -> Result<(), Refusal> {
        self.draw((0, 0), self.width, self.height)
    }
}

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

/// What is left of a file.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Refusal> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(MALFORMED)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(MALFORMED)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Refusal> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16_be(&mut self) -> Result<usize, Refusal> {
        self.array().map(u16::from_be_bytes).map(usize::from)
    }

    pub(super) fn u16_le(&mut self) -> Result<usize, Refusal> {
        self.array().map(u16::from_le_bytes).map(usize::from)
    }

    pub(super) fn u24_le(&mut self) -> Result<usize, Refusal> {
        self.array().map(|[a, b, c]| a as usize | (b as usize) << 8 | (c as usize) << 16)
    }

    pub(super) fn u32_be(&mut self) -> Result<usize, Refusal> {
        self.array().map(|bytes| u32::from_be_bytes(bytes) as usize)
    }

    pub(super) fn u32_le(&mut self) -> Result<usize, Refusal> {
        self.array().map(|bytes| u32::from_le_bytes(bytes) as usize)
    }
}

#[cfg(test)]
mod tests;
