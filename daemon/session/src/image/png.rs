//! PNG (ISO/IEC 15948, third edition): chunks, animation frames, and compressed text.

use super::canvas::{Canvas, MALFORMED, Reader, Refusal};
use crate::bounds;

pub(super) const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

pub(super) fn read(mut reader: Reader<'_>) -> Result<Canvas, Refusal> {
    reader.take(SIGNATURE.len())?;
    let (name, mut header) = chunk(&mut reader)?;
    if name != *b"IHDR" || header.0.len() != 13 {
        return Err(MALFORMED);
    }
    let mut canvas = Canvas::new(header.u32_be()?, header.u32_be()?)?;
    let (mut announced, mut animated, mut is_drawn) = (0, 0, false);
    let mut room = bounds::AVATAR_NOTES_BYTES;
    loop {
        let (name, mut body) = chunk(&mut reader)?;
        match &name {
            b"PLTE" | b"fdAT" => {}
            b"IDAT" if is_drawn => {}
            b"IDAT" => {
                is_drawn = true;
                // Otherwise it is the first frame of the animation, and counted as such.
                if animated == 0 {
                    canvas.fill()?;
                }
            }
            b"acTL" => announced = body.u32_be()?,
            b"fcTL" => {
                let [_sequence, width, height, x, y] =
                    [body.u32_be()?, body.u32_be()?, body.u32_be()?, body.u32_be()?, body.u32_be()?];
                canvas.draw((x, y), width, height)?;
                animated += 1;
            }
            // After a name and the number of the only compression method.
            b"iCCP" | b"zTXt" => {
                skip_text(&mut body)?;
                body.byte()?;
                inflate(body, &mut room)?;
            }
            b"iTXt" => {
                skip_text(&mut body)?;
                let [is_compressed, _method] = body.array()?;
                skip_text(&mut body)?;
                skip_text(&mut body)?;
                if is_compressed != 0 {
                    inflate(body, &mut room)?;
                }
            }
            // Nothing is read after it.
            b"IEND" if is_drawn && animated == announced => return Ok(canvas),
            // Chunks that are not needed to show the picture start with a lower-case letter.
            [b'a'..=b'z', ..] => {}
            _ => return Err(MALFORMED),
        }
    }
}

fn chunk<'a>(reader: &mut Reader<'a>) -> Result<([u8; 4], Reader<'a>), Refusal> {
    let length = reader.u32_be()?;
    let name = reader.array()?;
    let body = reader.take(length)?;
    let _checksum = reader.u32_be()?;
    Ok((name, Reader(body)))
}

/// A text and its terminating zero.
fn skip_text(reader: &mut Reader<'_>) -> Result<(), Refusal> {
    let end = reader.0.iter().position(|byte| *byte == 0).ok_or(MALFORMED)?;
    reader.take(end + 1)?;
    Ok(())
}

/// Measures how large a compressed text becomes, since programs inflate all of it.
fn inflate(note: Reader<'_>, room: &mut usize) -> Result<(), Refusal> {
    let text = miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(note.0, *room)
        .map_err(|_| "notes that are broken, or of more than 4 MiB when inflated")?;
    *room -= text.len();
    Ok(())
}
