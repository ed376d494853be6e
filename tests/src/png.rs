//! Small valid PNG images, each of a single colour, so that avatars differ (ISO/IEC 15948).

/// An RGB image of a single colour. The pixels are stored, not compressed: keep it small.
///
/// # Panics
/// If a side is 0, or the pixels don't fit into one stored block (64 KiB).
pub fn solid(width: u16, height: u16, rgb: [u8; 3]) -> Vec<u8> {
    assert!(width > 0 && height > 0, "an image has pixels");
    let mut row = vec![0]; // no filter
    row.extend(rgb.iter().cycle().take(usize::from(width) * 3));
    let pixels = row.repeat(usize::from(height));

    let mut header = Vec::new();
    header.extend(u32::from(width).to_be_bytes());
    header.extend(u32::from(height).to_be_bytes());
    header.extend([8, 2, 0, 0, 0]); // 8 bits a channel, RGB, the only methods there are, not interlaced

    let length = u16::try_from(pixels.len()).expect("the pixels fit one stored block");
    let mut data = vec![0x78, 0x01, 0x01]; // zlib's header, one last stored block (RFC 1950, 1951)
    data.extend(length.to_le_bytes());
    data.extend((!length).to_le_bytes());
    data.extend(&pixels);
    data.extend(adler32(&pixels).to_be_bytes());

    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, content) in [(b"IHDR", &header), (b"IDAT", &data), (b"IEND", &Vec::new())] {
        png.extend(u32::try_from(content.len()).expect("a small image").to_be_bytes());
        let checked = [kind.as_slice(), content].concat();
        png.extend(&checked);
        png.extend(crc32(&checked).to_be_bytes());
    }
    png
}

/// The width and height an image announces, in pixels.
pub fn size(png: &[u8]) -> (u32, u32) {
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().expect("four bytes"));
    (number(16), number(20))
}

fn adler32(bytes: &[u8]) -> u32 {
    let (a, b) = bytes.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65521;
        (a, (b + a) % 65521)
    });
    b << 16 | a
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    /// The checksums' published check values (of "123456789", and of "Wikipedia").
    #[test]
    fn checksums_are_the_known_ones() {
        assert_eq!(super::crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(super::adler32(b"Wikipedia"), 0x11e6_0398);
    }

    #[test]
    fn an_image_announces_its_size() {
        assert_eq!(super::size(&super::solid(48, 32, [1, 2, 3])), (48, 32));
    }
}
