//! JPEG (ITU-T T.81): one frame header, and scans that each cover the whole picture.

use super::canvas::{Canvas, MALFORMED, Reader, Refusal};
use crate::bounds;

pub(super) fn read(mut reader: Reader<'_>) -> Result<Canvas, Refusal> {
    reader.take(2)?;
    let (mut canvas, mut scans) = (None, 0);
    loop {
        match marker(&mut reader)? {
            // Baseline, extended and progressive: what decoders support. A second header means hierarchical mode,
            // which they don't support.
            0xc0..=0xc2 if canvas.is_none() => {
                let [_precision, h1, h0, w1, w0, ..] = *segment(&mut reader)? else { return Err(MALFORMED) };
                let [width, height] = [[w1, w0], [h1, h0]].map(u16::from_be_bytes).map(usize::from);
                canvas = Some(Canvas::new(width, height)?);
            }
            0xda if canvas.is_some() => {
                segment(&mut reader)?;
                skip_scan(&mut reader)?;
                scans += 1;
                if scans > bounds::AVATAR_SCANS {
                    return Err("more than 32 scans");
                }
            }
            // Huffman and quantization tables; restart interval; application data; comment.
            0xc4 | 0xdb | 0xdd | 0xe0..=0xef | 0xfe => {
                segment(&mut reader)?;
            }
            0xd9 => {
                let mut canvas = canvas.filter(|_| scans > 0).ok_or(MALFORMED)?;
                canvas.fill()?;
                return Ok(canvas);
            }
            _ => return Err(MALFORMED),
        }
    }
}

/// The sizes of all pictures in a file, wherever they are, including previews. The bytes of a frame header cannot
/// occur in scan data; in other data they do once in millions of files.
pub(super) fn check_all(data: &[u8]) -> Result<(), Refusal> {
    for (at, _) in data.iter().enumerate().filter(|(_, byte)| **byte == 0xff) {
        if let [_, code @ 0xc0..=0xcf, 0, length, 8 | 12, h1, h0, w1, w0, components @ 1..=4, ..] = data[at..]
            && !matches!(code, 0xc4 | 0xc8 | 0xcc)
            && length == 8 + 3 * components
        {
            Canvas::new(u16::from_be_bytes([w1, w0]).into(), u16::from_be_bytes([h1, h0]).into())?;
        }
    }
    Ok(())
}

fn marker(reader: &mut Reader<'_>) -> Result<u8, Refusal> {
    if reader.byte()? != 0xff {
        return Err(MALFORMED);
    }
    loop {
        match reader.byte()? {
            0xff => {}
            code => return Ok(code),
        }
    }
}

fn segment<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Refusal> {
    let length = reader.u16_be()?.checked_sub(2).ok_or(MALFORMED)?;
    reader.take(length)
}

/// Up to the next marker other than a restart.
fn skip_scan(reader: &mut Reader<'_>) -> Result<(), Refusal> {
    let ends = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7 | 0xff);
    let end = reader.0.windows(2).position(ends).ok_or(MALFORMED)?;
    reader.take(end)?;
    Ok(())
}
