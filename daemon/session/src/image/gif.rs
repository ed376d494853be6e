//! GIF89a: frames, each with its own position and size.

use super::canvas::{Canvas, MALFORMED, Reader, Refusal};

pub(super) fn read(mut reader: Reader<'_>) -> Result<Canvas, Refusal> {
    reader.take(6)?;
    let mut canvas = Canvas::new(reader.u16_le()?, reader.u16_le()?)?;
    let [flags, _background, _aspect] = reader.array()?;
    skip_colours(&mut reader, flags)?;
    // Some programs leave the trailer out.
    while !reader.is_empty() {
        match reader.byte()? {
            0x21 => {
                let _label = reader.byte()?;
                skip_blocks(&mut reader)?;
            }
            0x2c => {
                let place = (reader.u16_le()?, reader.u16_le()?);
                canvas.draw(place, reader.u16_le()?, reader.u16_le()?)?;
                let flags = reader.byte()?;
                skip_colours(&mut reader, flags)?;
                let _code_size = reader.byte()?;
                skip_blocks(&mut reader)?;
            }
            // Nothing is read after it.
            0x3b => break,
            _ => return Err(MALFORMED),
        }
    }
    Ok(canvas)
}

fn skip_colours(reader: &mut Reader<'_>, flags: u8) -> Result<(), Refusal> {
    if flags & 0x80 != 0 {
        reader.take(3 << ((flags & 7) + 1))?;
    }
    Ok(())
}

fn skip_blocks(reader: &mut Reader<'_>) -> Result<(), Refusal> {
    loop {
        match reader.byte()? {
            0 => return Ok(()),
            length => reader.take(length.into())?,
        };
    }
}
