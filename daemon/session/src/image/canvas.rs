//! What the parsers of all formats share: a reader that cannot run past the end, and the canvas within its bounds.

use crate::bounds;

/// Why a picture is refused.
pub(super) type Refusal = &'static str;

pub(super) const MALFORMED: Refusal = "its structure is broken";
pub(super) const TOO_LARGE: Refusal = "larger than 4096 pixels a side or 16 megapixels";
pub(super) const TOO_LONG: Refusal = "more than 1000 frames, or 64 megapixels in all of them";

/// The canvas of a picture, and what is drawn on it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Canvas {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) frames: usize,
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
