//! WebP (RFC 9649): chunks, each with a size that may contradict the others.

use super::canvas::{Canvas, MALFORMED, Reader, Refusal};

pub(super) fn read(mut reader: Reader<'_>) -> Result<Canvas, Refusal> {
    reader.take(4)?;
    let length = reader.u32_le()?;
    let mut reader = Reader(reader.take(length)?);
    reader.take(4)?;
    let (name, mut body) = chunk(&mut reader)?;
    if name != *b"VP8X" {
        let (width, height) = bitstream(name, body)?;
        let mut canvas = Canvas::new(width, height)?;
        canvas.fill()?;
        return if reader.is_empty() { Ok(canvas) } else { Err(MALFORMED) };
    }
    let _flags = body.u32_le()?;
    let mut canvas = Canvas::new(body.u24_le()? + 1, body.u24_le()? + 1)?;
    while !reader.is_empty() {
        let (name, mut body) = chunk(&mut reader)?;
        match &name {
            b"ICCP" | b"EXIF" | b"XMP " | b"ANIM" | b"ALPH" => {}
            b"ANMF" => {
                let place = (body.u24_le()? * 2, body.u24_le()? * 2);
                let size = (body.u24_le()? + 1, body.u24_le()? + 1);
                let [_duration @ .., _flags] = body.array::<4>()?;
                let (mut name, mut content) = chunk(&mut body)?;
                if name == *b"ALPH" {
                    (name, content) = chunk(&mut body)?;
                }
                if bitstream(name, content)? != size || !body.is_empty() {
                    return Err(MALFORMED);
                }
                canvas.draw(place, size.0, size.1)?;
            }
            _ if bitstream(name, body)? == (canvas.width, canvas.height) => canvas.fill()?,
            _ => return Err(MALFORMED),
        }
    }
    Ok(canvas)
}

fn chunk<'a>(reader: &mut Reader<'a>) -> Result<([u8; 4], Reader<'a>), Refusal> {
    let name = reader.array()?;
    let length = reader.u32_le()?;
    let body = reader.take(length)?;
    // Chunks start at even offsets.
    reader.take(length % 2)?;
    Ok((name, Reader(body)))
}

/// The size in the picture's own data.
fn bitstream(name: [u8; 4], mut data: Reader<'_>) -> Result<(usize, usize), Refusal> {
    // Fourteen bits each. In lossy pictures the upper two bits are a scaling hint, which nobody uses.
    let side = |bits: usize| bits & 0x3fff;
    match &name {
        b"VP8 " => {
            let [frame, _, _, 0x9d, 0x01, 0x2a] = data.array()? else { return Err(MALFORMED) };
            if frame & 1 != 0 {
                // It would modify a previous picture, and there is none.
                return Err(MALFORMED);
            }
            Ok((side(data.u16_le()?), side(data.u16_le()?)))
        }
        b"VP8L" => {
            let 0x2f = data.byte()? else { return Err(MALFORMED) };
            let bits = data.u32_le()?;
            // One bit for transparency, three for the version, of which there is only one.
            if bits >> 29 != 0 {
                return Err(MALFORMED);
            }
            Ok((side(bits) + 1, side(bits >> 14) + 1))
        }
        _ => Err(MALFORMED),
    }
}
