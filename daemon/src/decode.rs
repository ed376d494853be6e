//! Decoding pictures: within limits, and upright.

use std::io::{BufRead, Seek};

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder as _, ImageReader, ImageResult, Limits};

/// The memory, in bytes, that decoding a picture may take: enough for 16 megapixels and smaller copies of them.
const DECODING_BYTES: u64 = 256 * 1024 * 1024;

/// The image upright, and whether it is stored that way: cameras store the raw view, and a note on how to rotate it.
/// `side_max`: pixels of its longer side.
///
/// # Errors
/// If it is damaged, of an unknown type, or exceeds a limit.
pub(crate) fn upright<R: BufRead + Seek>(
    mut reader: ImageReader<R>,
    side_max: Option<u32>,
) -> ImageResult<(DynamicImage, bool)> {
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (side_max, side_max);
    limits.max_alloc = Some(DECODING_BYTES);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    // The decoder counts its own needs, without the image.
    limits.reserve(decoder.total_bytes())?;
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok((image, orientation == Orientation::NoTransforms))
}

/// Pictures stored sideways, for tests of code that decodes them.
#[cfg(test)]
pub(crate) mod sideways {
    use std::io::Cursor;

    use image::codecs::png::PngEncoder;
    use image::{ImageEncoder as _, ImageFormat, RgbImage};

    /// EXIF with one entry: orientation (0x0112), a short, 6: shown rotated clockwise by 90 degrees.
    const TURN: &[u8] = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";

    pub(crate) fn jpeg(image: &RgbImage) -> Vec<u8> {
        let mut jpeg = Vec::new();
        image.write_to(&mut Cursor::new(&mut jpeg), ImageFormat::Jpeg).unwrap();
        let content = [b"Exif\0\0".as_slice(), TURN].concat();
        let length = u16::try_from(content.len() + 2).unwrap().to_be_bytes();
        jpeg.splice(2..2, [[0xff, 0xe1].as_slice(), &length, &content].concat());
        jpeg
    }

    pub(crate) fn png(image: &RgbImage) -> Vec<u8> {
        let mut png = Vec::new();
        let mut encoder = PngEncoder::new(&mut png);
        encoder.set_exif_metadata(TURN.to_vec()).unwrap();
        image.write_with_encoder(encoder).unwrap();
        png
    }
}
